"""`authz keys`: API keys made, shown, revoked and rotated."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from authz.cli.options import Group, data_dir_option, json_option, opened
from authz.errors import UsageError
from authz.model.auth import AndroidApp, ApiKey, ApiTarget, Restrictions
from authz.settings import Settings

if TYPE_CHECKING:
    from authz.admin.keys import NewKey


@click.group(cls=Group)
def keys() -> None:
    """Make, show and revoke API keys."""


key_argument = click.argument("key", metavar="UID")


@keys.command(
    examples=(
        "authz keys create --consumer acme",
        "authz keys create --consumer acme --service shop.example --expires 30d --allow-ip 10.0.0.0/8",
        "authz keys create --consumer acme --import - < old-key.txt",
    )
)
@click.option("--consumer", required=True, metavar="NAME", help="Whose key it is; made if there is none of this name.")
@click.option("--service", "services", multiple=True, metavar="HOST", help="A service that the key opens; none: all.")
@click.option("--name", default="", metavar="TEXT", help="What lists call the key.")
@click.option("--import", "imported", metavar="KEY", help="Take over this key; -: read it.")
@click.option("--expires", metavar="DURATION", help="How long it works: 90s, 12h, 30d, 1y; none: for ever.")
@click.option("--allow-ip", "ips", multiple=True, metavar="CIDR", help="Only callers from here.")
@click.option("--allow-referrer", "referrers", multiple=True, metavar="PATTERN", help="Only pages that match.")
@click.option("--allow-android", "android", multiple=True, metavar="PACKAGE=SHA1", help="Only this Android app.")
@click.option("--allow-ios", "bundles", multiple=True, metavar="BUNDLE", help="Only this iOS app.")
@click.option("--api-target", "targets", multiple=True, metavar="HOST[=METHOD,...]", help="Only these methods.")
@json_option
@data_dir_option
def create(
    consumer: str,
    services: tuple[str, ...],
    name: str,
    imported: str | None,
    expires: str | None,
    as_json: bool,
    settings: Settings,
    **restrictions: tuple[str, ...],
) -> None:
    """Make a key, or import one.

    Prints it once: it is kept nowhere. The key alone goes to standard output, so that a script can take it.
    """
    from authz.admin.keys import create as make

    text = "" if imported is None else _imported(imported)
    with opened(settings) as store:
        made = make(
            store,
            consumer,
            services=services,
            import_text=text,
            expires=expires,
            restrictions=_restrictions(**restrictions),
            display_name=name,
            now=time.time(),
        )
    _show_new(made, as_json=as_json)


def _imported(text: str) -> str:
    found = sys.stdin.readline().strip() if text == "-" else text.strip()
    if not found:
        raise UsageError("There is no key to import.", "Write it after --import, or give it on standard input.")
    return found


def _restrictions(
    ips: tuple[str, ...],
    referrers: tuple[str, ...],
    android: tuple[str, ...],
    bundles: tuple[str, ...],
    targets: tuple[str, ...],
) -> Restrictions:
    return Restrictions(
        allow_ips=ips,
        allow_referrers=referrers,
        android_apps=tuple(_android(text) for text in android),
        ios_bundles=bundles,
        api_targets=tuple(_target(text) for text in targets),
    )


def _android(text: str) -> AndroidApp:
    package, equals, fingerprint = text.partition("=")
    if not equals:
        raise UsageError(f"'{text}' names no certificate", "Write PACKAGE=SHA1 with the certificate's fingerprint.")
    return AndroidApp(package, fingerprint)


def _target(text: str) -> ApiTarget:
    service, _, methods = text.partition("=")
    return ApiTarget(service, tuple(method.strip() for method in methods.split(",") if method.strip()))


def _show_new(made: NewKey, *, as_json: bool) -> None:
    from authz.cli import screen

    if as_json:
        screen.print_json({"key": made.text, **_json(made.key), "warnings": list(made.warnings)})
        return
    print(made.text, flush=True)
    for warning in made.warnings:
        screen.tell(warning, "warning")
    new = " (new)" if made.consumer_is_new else ""
    screen.tell(f"key {made.key.uid} of consumer {made.key.consumer.name}{new}; its text is shown only now")
    if made.replaced is not None:
        screen.tell(f"key {made.replaced.uid} stops working at {screen.moment(made.replaced.revoked_at)}")


@keys.command("list", examples=("authz keys list", "authz keys list --consumer acme --json"))
@click.option("--consumer", default="", metavar="NAME", help="Only the keys of this consumer.")
@json_option
@data_dir_option
def list_(consumer: str, as_json: bool, settings: Settings) -> None:
    """List keys, newest first."""
    from authz.admin.keys import list_keys
    from authz.cli import screen

    with opened(settings) as store:
        found = list_keys(store, consumer)
    if as_json:
        screen.print_json([_json(key) for key in found])
        return
    rows = [(k.uid, k.hint, k.consumer.name, _state(k), ", ".join(k.services) or "all", _limits(k)) for k in found]
    columns = ("uid", "begins", "consumer", "state", "services", "restrictions")
    screen.print_table(columns, rows, empty="no keys; make one with: authz keys create --consumer NAME")


@keys.command(examples=("authz keys describe 3f2a9c1b7d5e4f60", "authz keys describe ak_4fT9"))
@key_argument
@json_option
@data_dir_option
def describe(key: str, as_json: bool, settings: Settings) -> None:
    """Show one key, by uid or by how either begins."""
    from authz.admin.keys import describe as find

    with opened(settings) as store:
        _show(find(store, key), as_json=as_json)


@keys.command(examples=("authz keys revoke 3f2a9c1b7d5e4f60",))
@key_argument
@json_option
@data_dir_option
def revoke(key: str, as_json: bool, settings: Settings) -> None:
    """Stop a key from working, for good.

    Running gateways refuse it within one second.
    """
    from authz.admin.keys import revoke as stop

    with opened(settings) as store:
        _show(stop(store, key, now=time.time()), as_json=as_json)


@keys.command(examples=("authz keys rotate 3f2a9c1b7d5e4f60 --grace 1d",))
@key_argument
@click.option("--grace", metavar="DURATION", help="How long the old key still works: 15m, 1d; none: not at all.")
@json_option
@data_dir_option
def rotate(key: str, grace: str | None, as_json: bool, settings: Settings) -> None:
    """Replace a key by a new one with the same rights."""
    from authz.admin.keys import rotate as replace

    with opened(settings) as store:
        _show_new(replace(store, key, grace=grace, now=time.time()), as_json=as_json)


def _show(key: ApiKey, *, as_json: bool) -> None:
    from authz.cli import screen

    if as_json:
        screen.print_json(_json(key))
        return
    screen.print_facts(
        {
            "uid": key.uid,
            "begins": key.hint,
            "name": key.display_name,
            "consumer": f"{key.consumer.name} ({key.consumer.number}, {key.consumer.status.value})",
            "state": _state(key),
            "services": ", ".join(key.services) or "all",
            "restrictions": _limits(key),
            "created": screen.moment(key.created_at),
            "expires": screen.moment(key.expires_at),
            "revoked": screen.moment(key.revoked_at),
        }
    )


def _json(key: ApiKey) -> dict[str, Any]:
    limits = key.restrictions
    return {
        "uid": key.uid,
        "begins": key.hint,
        "name": key.display_name,
        "consumer": key.consumer.name,
        "state": _state(key),
        "services": list(key.services),
        "allow_ips": list(limits.allow_ips),
        "allow_referrers": list(limits.allow_referrers),
        "android_apps": [{"package": app.package, "sha1": app.sha1} for app in limits.android_apps],
        "ios_bundles": list(limits.ios_bundles),
        "api_targets": [{"service": t.service, "methods": list(t.methods)} for t in limits.api_targets],
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    }


def _state(key: ApiKey) -> str:
    now = time.time()
    if key.is_live(now):
        return "active"
    return "revoked" if key.revoked_at and key.revoked_at <= now else "expired"


def _limits(key: ApiKey) -> str:
    limits = key.restrictions
    return "; ".join(
        (
            *limits.allow_ips,
            *limits.allow_referrers,
            *(app.package for app in limits.android_apps),
            *limits.ios_bundles,
            *(f"{t.service}={','.join(t.methods)}" if t.methods else t.service for t in limits.api_targets),
        )
    )
