"""Which restrictions are accepted, in which spelling, and what is said of the others."""

from __future__ import annotations

import pytest

from authz.admin.restrictions import checked
from authz.errors import UsageError
from authz.model.auth import AndroidApp, ApiTarget, Restrictions

SHA1 = "DA:39:A3:EE:5E:6B:4B:0D:32:55:BF:EF:95:60:18:90:AF:D8:07:09"
PLAIN = SHA1.replace(":", "")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (Restrictions(), Restrictions()),
        (
            Restrictions(allow_ips=("192.0.2.7", "10.0.0.0/8", "2001:DB8::/32", "2001:db8:0::1")),
            Restrictions(allow_ips=("192.0.2.7", "10.0.0.0/8", "2001:db8::/32", "2001:db8::1")),
        ),
        (
            Restrictions(allow_referrers=("https://example.com/*", "http://*.example.com:8080/a/*")),
            Restrictions(allow_referrers=("https://example.com/*", "http://*.example.com:8080/a/*")),
        ),
        (
            Restrictions(android_apps=(AndroidApp("com.example.app", SHA1.lower()),)),
            Restrictions(android_apps=(AndroidApp("com.example.app", PLAIN),)),
        ),
        (
            Restrictions(ios_bundles=("com.example.App",), api_targets=(ApiTarget("a.example.com"),)),
            Restrictions(ios_bundles=("com.example.App",), api_targets=(ApiTarget("a.example.com"),)),
        ),
        (
            Restrictions(api_targets=(ApiTarget("a.example.com", ("GetShelf", "1.a_example_com.List*", "*")),)),
            Restrictions(api_targets=(ApiTarget("a.example.com", ("GetShelf", "1.a_example_com.List*", "*")),)),
        ),
    ],
)
def test_good_restrictions_are_kept_in_one_spelling(given: Restrictions, kept: Restrictions) -> None:
    assert checked(given) == kept
    assert checked(kept) == kept


@pytest.mark.parametrize(
    ("restrictions", "message", "remedy"),
    [
        (Restrictions(allow_ips=("10.0.0.256",)), "'10.0.0.256' is neither an IP address", "192.0.2.0/24"),
        (Restrictions(allow_ips=("",)), "'' is neither", "192.0.2.7"),
        (Restrictions(allow_ips=("10.0.0.0/33",)), "neither", "192.0.2.7"),
        (Restrictions(allow_ips=("example.com",)), "neither", "192.0.2.7"),
        (Restrictions(allow_ips=("10.1.2.3/8",)), "one address and a whole range", "Write 10.0.0.0/8 for the range"),
        (Restrictions(allow_referrers=("example.com/*",)), "needs a scheme and a host", "https://example.com/*"),
        (Restrictions(allow_referrers=("*",)), "needs a scheme", "https://"),
        (Restrictions(allow_referrers=("https://",)), "needs a scheme", "https://"),
        (Restrictions(allow_referrers=("https://a b/",)), "needs a scheme", "https://"),
        (Restrictions(allow_referrers=("https://a\x00b/",)), "needs a scheme", "https://"),
        (Restrictions(android_apps=(AndroidApp("app", SHA1),)), "'app' is no Android package", "com.example.app"),
        (Restrictions(android_apps=(AndroidApp("com.a", "AB"),)), "'AB' is no SHA-1", "40 hexadecimal"),
        (Restrictions(android_apps=(AndroidApp("com.a", "X" * 40),)), "is no SHA-1", "40 hexadecimal"),
        (Restrictions(ios_bundles=("com example",)), "'com example' is no iOS bundle", "com.example.App"),
        (Restrictions(api_targets=(ApiTarget(""),)), "'' is no service name", "api.example.com"),
        (Restrictions(api_targets=(ApiTarget("a.com", ("Li*st",)),)), "'Li*st' is no method", "cut short"),
        (
            Restrictions(allow_ips=("10.0.0.1",), allow_referrers=("https://a.com/",)),
            "not to IP addresses and referrers at once",
            "one key for each kind",
        ),
        (
            Restrictions(android_apps=(AndroidApp("com.a", SHA1),), ios_bundles=("com.a",)),
            "not to Android apps and iOS apps",
            "one key",
        ),
    ],
)
def test_bad_restrictions_are_refused_with_a_remedy(restrictions: Restrictions, message: str, remedy: str) -> None:
    with pytest.raises(UsageError) as refused:
        checked(restrictions)
    assert message in refused.value.message
    assert remedy in refused.value.remedy
