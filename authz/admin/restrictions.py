"""Which restrictions of a key make sense. They are checked where they are entered, so that Check can trust them."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import replace

from authz.errors import UsageError
from authz.model.auth import AndroidApp, ApiTarget, Restrictions

_REFERRER = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/\s]+(/\S*)?\Z", re.ASCII)
_PACKAGE = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)+\Z", re.ASCII)
_BUNDLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*\Z")
_FINGERPRINT = re.compile(r"[0-9A-F]{40}\Z")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\Z")
_METHOD = re.compile(r"\w[\w.]*\*?\Z|\*\Z", re.ASCII)


def checked(restrictions: Restrictions) -> Restrictions:
    """The same restrictions in their usual spelling.

    Raises:
        UsageError: one is not what it should be, or there is more than one kind of client restriction.
    """
    kinds = {
        "IP addresses": restrictions.allow_ips,
        "referrers": restrictions.allow_referrers,
        "Android apps": restrictions.android_apps,
        "iOS apps": restrictions.ios_bundles,
    }
    used = [name for name, values in kinds.items() if values]
    if len(used) > 1:
        raise UsageError(
            f"A key can be restricted to one kind of client, not to {' and '.join(used)} at once.",
            "Make one key for each kind.",
        )
    return replace(
        restrictions,
        allow_ips=tuple(_network(text) for text in restrictions.allow_ips),
        allow_referrers=tuple(_referrer(text) for text in restrictions.allow_referrers),
        android_apps=tuple(_android(app) for app in restrictions.android_apps),
        ios_bundles=tuple(_bundle(text) for text in restrictions.ios_bundles),
        api_targets=tuple(_target(target) for target in restrictions.api_targets),
    )


def _network(text: str) -> str:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise UsageError(
            f"'{text}' is neither an IP address nor a range of them.",
            "Write 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32.",
        ) from None
    if "/" not in text:
        return str(network.network_address)
    if ipaddress.ip_address(text.partition("/")[0]) != network.network_address:
        raise UsageError(
            f"'{text}' names one address and a whole range at once.",
            f"Write {network} for the range, or {text.partition('/')[0]} for the address.",
        )
    return str(network)


def _referrer(text: str) -> str:
    if not _REFERRER.match(text) or not text.isprintable():
        raise UsageError(
            f"'{text}' is no pattern for a referrer: it needs a scheme and a host.",
            "Write https://example.com/* or https://*.example.com/*.",
        )
    return text


def _android(app: AndroidApp) -> AndroidApp:
    if not _PACKAGE.match(app.package):
        raise UsageError(f"'{app.package}' is no Android package name.", "Write it as com.example.app.")
    fingerprint = app.sha1.replace(":", "").upper()
    if not _FINGERPRINT.match(fingerprint):
        raise UsageError(
            f"'{app.sha1}' is no SHA-1 fingerprint of a signing certificate.",
            "Write its 40 hexadecimal digits, with or without colons.",
        )
    return AndroidApp(app.package, fingerprint)


def _bundle(text: str) -> str:
    if not _BUNDLE.match(text):
        raise UsageError(f"'{text}' is no iOS bundle identifier.", "Write it as com.example.App.")
    return text


def _target(target: ApiTarget) -> ApiTarget:
    service_name(target.service)
    for method in target.methods:
        if not _METHOD.match(method):
            raise UsageError(
                f"'{method}' is no method of an API target.",
                "Write ListShelves, 1.example_com.ListShelves, or one of them cut short by a '*'.",
            )
    return target


def service_name(text: str) -> str:
    """A service's name, which is a host.

    Raises:
        UsageError: it is no host name.
    """
    if not _HOST.match(text) or len(text) > 253:
        raise UsageError(f"'{text}' is no service name.", "Write the host of the API's document, as api.example.com.")
    return text
