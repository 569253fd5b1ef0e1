"""What is found in code for the old library: where, how bad, and what is left alone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.errors import UsageError
from authz.frameworks.migrate import RULES, Finding, Source, check
from authz.model.findings import Severity

DATA = Path(__file__).parent / "data"
BESIDE = frozenset({"models"})
OLD, NEW = (DATA / "old_api.txt").read_text(), (DATA / "new_api.txt").read_text()


def found(text: str) -> list[tuple[int, str]]:
    return [(one.line, one.code) for one in check([Source("api.py", text, BESIDE)])]


def places(findings: Iterable[Finding]) -> list[tuple[str, int, str]]:
    return [(one.file, one.line, one.code) for one in findings]


def test_an_old_api_is_told_all_that_needs_attention() -> None:
    assert found(OLD) == [
        (4, "python2-module"),
        (6, "import-endpoints"),
        (7, "import-appengine"),
        (8, "import-protorpc"),
        (9, "import-protorpc"),
        (9, "import-protorpc"),
        (16, "integer-range"),
        (21, "base-path-default"),
        (22, "appengine-argument"),
        (23, "client-ids-enforced"),
        (24, "argument-refused"),
        (27, "custom-status"),
        (34, "argument-refused"),
        (34, "http-method-case"),
        (37, "optional-auth"),
        (39, "python2-syntax"),
        (39, "user-id"),
        (41, "python2-syntax"),
        (41, "python2-syntax"),
        (42, "python2-syntax"),
        (43, "python2-syntax"),
        (44, "python2-syntax"),
        (44, "environ-user"),
        (44, "python2-name"),
        (45, "environ-user"),
        (45, "python2-name"),
        (49, "server-trust"),
        (49, "server-defaults"),
    ]


def test_the_same_api_after_the_changes_has_only_warnings_left() -> None:
    findings = check([Source("api.py", NEW)])
    assert {one.severity for one in findings} == {Severity.WARNING}
    codes = {one.code for one in findings}
    assert codes == {"integer-range", "client-ids-enforced", "custom-status", "server-defaults"}
    exec(compile(NEW, "new_api", "exec"), {"__name__": "new_api"})  # noqa: S102 - it runs as it stands


IMPORTS = "from authz.frameworks import endpoints, messages, message_types, remote\nimport os\n"
"""Two lines before each of these."""
API = "@endpoints.api('a', 'v1', base_path='/', {})\nclass A(remote.Service): pass"
METHOD = "class A(remote.Service):\n  @endpoints.method({})\n  def m(self, request):\n    {}"

CASES = [
    ("python2-syntax", 3, "print 'a'"),
    ("python2-syntax", 3, "print >>f, 'a'"),
    ("python2-syntax", 3, "print('a') ; print"),
    ("python2-syntax", 4, "if x:\n\tprint 'a', \\\n   'b'"),
    ("python2-syntax", 3, "print 'a %s' % (b, # note\n  c) # more"),
    ("python2-syntax", 3, "print 'a;', b; c = 1"),
    ("python2-syntax", 3, "for a in b: print a,"),
    ("python2-syntax", 3, "print '''a\nb''' % c"),
    ("python2-syntax", 3, "x = ur'a'"),
    ("python2-syntax", 3, "x = `y`"),
    ("python2-syntax", 3, "exec 'a = 1' in names"),
    ("python2-syntax", 3, "exec code"),
    ("python2-syntax", 3, "def f(a, (b, c)): return b"),
    ("python2-syntax", 3, "f = lambda (a, b): a"),
    ("python2-syntax", 3, "raise E, 'text', trace"),
    ("python2-syntax", 3, "raise E('a'), None, trace"),
    ("python2-syntax", 3, "x = 0xFFL"),
    ("python2-syntax", 5, "try: pass\nexcept A: pass\nexcept (B, C), e: pass"),
    ("python2-syntax", 4, "if a:\n\tb = 1\n        c = 2"),
    ("python2-name", 3, "x = basestring"),
    ("python2-name", 3, "d.iteritems()"),
    ("python2-name", 5, "class A(object):\n  a = 1\n  __metaclass__ = B"),
    ("python2-name", 4, "import urllib\nurllib.urlencode({})"),
    ("python2-module", 3, "import StringIO"),
    ("python2-module", 3, "from urlparse import parse_qs"),
    ("python2-module", 3, "from itertools import izip"),
    ("python2-import", 3, "import models"),
    ("python2-import", 3, "from models.shelves import Shelf as S"),
    ("unreadable", 3, "what ever is this"),
    ("unreadable", 3, "def f(:\n  pass"),
    ("import-endpoints", 3, "import endpoints as e"),
    ("import-endpoints", 3, "from endpoints import api, method, remote"),
    ("import-endpoints", 3, "from endpoints.api_exceptions import NotFoundException"),
    ("import-endpoints", 3, "from google.appengine.ext import endpoints"),
    ("import-protorpc", 3, "import protorpc.messages"),
    ("import-protorpc", 3, "from protorpc.messages import Message, StringField"),
    ("import-management", 3, "from endpoints_management.control import wsgi"),
    ("import-appengine", 3, "from google.appengine.ext import ndb"),
    ("import-appengine", 3, "import google.appengine.api.memcache"),
    ("name-gone", 3, "from protorpc import definition"),
    ("name-gone", 3, "import webapp2"),
    ("name-gone", 3, "endpoints.endpoints_dispatcher.Middleware(app)"),
    ("name-gone", 3, "endpoints.get_client_lib()"),
    ("name-gone", 3, "from protorpc.wsgi import service"),
    ("appengine-argument", 3, API.format("frontend_limits=None")),
    ("server-argument", 4, "endpoints.api_server(\n[A], protocols=1)"),
    ("server-trust", 3, "app = endpoints.api_server([A], discovery=True)"),
    ("server-defaults", 3, "app = endpoints.api_server([A], verify_tokens=True)"),
    ("argument-refused", 3, API.format("audiences=['']")),
    ("argument-refused", 3, API.format("nonsense=1")),
    ("argument-refused", 3, API.format("issuers={'api_key': endpoints.Issuer('a', None)}")),
    ("argument-refused", 3, API.format("limit_definitions=[endpoints.LimitDefinition('a', 'b', 'c')]")),
    ("argument-refused", 3, API.format("audiences={'i': 'text'}")),
    ("argument-refused", 4, METHOD.format("http_method='GE T'", "pass")),
    ("argument-refused", 4, METHOD.format("path='a/x{b}'", "pass")),
    ("argument-refused", 4, METHOD.format("path='a/{b'", "pass")),
    ("argument-refused", 4, METHOD.format("metric_costs={'m': 1.5}", "pass")),
    ("argument-refused", 4, "a = endpoints.api('a', 'v1', base_path='/')\n@a.api_class(path=5)\nclass A: pass"),
    ("http-method-case", 4, METHOD.format("http_method='Get'", "pass")),
    ("base-path-default", 3, "a = endpoints.api('a', 'v1')"),
    ("scopes-enforced", 3, API.format("scopes=['a', 'b c']")),
    ("scopes-enforced", 3, API.format("scopes=[SCOPE]")),
    ("client-ids-enforced", 3, API.format("allowed_client_ids=[ID]")),
    ("client-ids-enforced", 4, METHOD.format("allowed_client_ids=[]", "pass")),
    (
        "versions-share-urls",
        4,
        "a = endpoints.api('a', '1.0.0', base_path='/')\nb = endpoints.api('a', version='1.1.0', base_path='/')",
    ),
    ("integer-range", 3, "n = messages.IntegerField(1)\nm = messages.IntegerField(2)"),
    ("bytes-default", 3, "n = messages.BytesField(1, default='a')"),
    ("bytes-default", 3, "n = messages.StringField(1, default=b'a')"),
    ("optional-auth", 7, METHOD.format("", "u = endpoints.get_current_user()\n    if not u: return None")),
    ("optional-auth", 6, METHOD.format("", "if endpoints.get_current_user(): return 1")),
    ("optional-auth", 7, METHOD.format("", "u = endpoints.get_current_user()\n    return u.email() if u else None")),
    ("optional-auth", 6, METHOD.format("", "if endpoints.get_current_user() is not None: a()\n    else: b()")),
    ("optional-auth", 4, "def user():\n  if not (u := endpoints.get_current_user()) or u.email():\n    return None"),
    ("returns-nothing", 5, METHOD.format("A, Out", "x = 1")),
    ("returns-nothing", 5, METHOD.format("A, response_message=Out", "return")),
    ("environ-user", 3, "os.environ.get('USER_EMAIL')"),
    ("environ-user", 3, "os.getenv('HTTP_AUTHORIZATION')"),
    ("environ-user", 3, "'ENDPOINTS_AUTH_EMAIL' in os.environ"),
    ("environ-appengine", 3, "os.environ['SERVER_SOFTWARE']"),
    ("verified-jwt", 3, "endpoints.get_verified_jwt([], [])"),
    ("user-id", 3, "user.user_id()"),
    ("custom-status", 3, "class Paid(endpoints.ServiceException):\n  http_status = 402"),
    ("status-500", 3, "raise endpoints.InternalServerErrorException('x')"),
    ("status-rewritten", 3, "assert answer.status_code == 503"),
    ("status-rewritten", 3, "self.assertEqual(501, answer.status_int)"),
    ("not-a-number", 3, "x = float('-inf')"),
    ("unrecognized-fields", 3, "request.get_unrecognized_field_info('key')"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "line", "text"), CASES, ids=[f"{code}-{n}" for n, (code, *_) in enumerate(CASES)])
def test_each_finding_has_its_line(code: str, line: int, text: str) -> None:
    findings = found(IMPORTS + text + "\n")
    assert (line, code) in findings
    assert {one for _, one in findings} - {code} <= {"server-trust", "server-defaults"}, findings


def test_every_rule_has_a_case_and_every_finding_a_remedy() -> None:
    assert {code for code, *_ in CASES} == {rule.code for rule in RULES}
    findings = check(Source("a.py", IMPORTS + text, BESIDE) for _, _, text in CASES)
    assert all(one.message and one.hint for one in findings)


FINE = [
    '"""\nprint this\nexcept A, e:\n"""',
    "print('a')",
    "x = y.user_id",
    "def unicode(x): return x\nunicode(1)",
    "from six.moves import xrange\nxrange(3)",
    "import json\njson.dumps(1)",
    METHOD.format("optional_auth=True", "u = endpoints.get_current_user()\n    if not u: return None"),
    METHOD.format("", "u = endpoints.get_current_user()\n    if not u: raise endpoints.UnauthorizedException('x')"),
    METHOD.format("", "u = endpoints.get_current_user()\n    if u is None:\n      a()\n      raise E\n    return u"),
    METHOD.format("", "u = endpoints.get_current_user()\n    return u.email()"),
    "def user(must):\n  u = endpoints.get_current_user()\n  if must and u is None: raise E\n  return u",
    METHOD.format("", "u = endpoints.get_current_user()\n    if u.email() == 'x': return 1"),
    METHOD.format("A, Out", "raise endpoints.NotFoundException('x')"),
    METHOD.format("A, Out", "for x in y:\n      return x"),
    METHOD.format("A, message_types.VoidMessage", "pass"),
    METHOD.format("A, Out, path='a/{b}/{c}:verb', http_method='PUT', metric_costs={'m': 2}", "return 1"),
    API.format("allowed_client_ids=endpoints.SKIP_CLIENT_ID_CHECK"),
    API.format("scopes=[endpoints.EMAIL_SCOPE], audiences=AUDIENCES, issuers=ISSUERS"),
    "a = endpoints.api('a', '1.0.0', base_path='/')\nb = endpoints.api('a', '2.0.0', base_path='/')",
    "a = endpoints.api(NAME, VERSION, **MORE, base_path='/')",
    "retry_after = 503",
    "from . import models",
    "from .models import Shelf",
    "from __future__ import absolute_import\nimport models",
    "class Plain:\n  http_status = 402",
    "class Holder(messages.Message):\n  n = messages.FloatField(1)",
]


@pytest.mark.parametrize("text", FINE)
def test_what_is_fine_is_left_alone(text: str) -> None:
    assert found(IMPORTS + text + "\n") == []


def test_remedies_say_what_to_write() -> None:
    text = "from endpoints import api, remote\nimport protorpc.messages as m\nfrom protorpc.remote import Service\n"
    hints = [one.hint for one in check([Source("a.py", text)])]
    assert hints == [
        "Write: from authz.frameworks import remote; from authz.frameworks.endpoints import api",
        "Write: from authz.frameworks import messages as m",
        "Write: from authz.frameworks.remote import Service",
    ]


def test_names_that_are_gone_are_not_written_anew() -> None:
    text = "from endpoints import api, endpoints_management\nfrom endpoints import endpoints_management\n"
    hints = [one.hint for one in check([Source("a.py", text)]) if one.code == "import-endpoints"]
    assert hints == [
        "Write: from authz.frameworks.endpoints import api",
        "Remove it: none of these names is here.",
    ]


def test_modules_of_a_package_are_imported_with_a_dot(tmp_path: Path) -> None:
    (tmp_path / "pkg" / "sub").mkdir(parents=True)
    for name in (
        "pkg/__init__.py",
        "pkg/models.py",
        "pkg/json.py",
        "pkg/config.py",
        "pkg/sub/__init__.py",
        "config.py",
    ):
        (tmp_path / name).write_text("")
    text = (
        "import models as m\nimport sub\nimport models.one\nfrom models import A as B, C\nimport json, config, other\n"
    )
    (tmp_path / "pkg" / "api.py").write_text(text)

    findings = check(["pkg"], tmp_path)

    assert [(one.code, one.hint) for one in findings] == [
        ("python2-import", "Write: from . import models as m"),
        ("python2-import", "Write: from . import sub"),
        ("python2-import", "Write: from .models import one"),
        ("python2-import", "Write: from .models import A as B, C"),
    ]
    assert check([tmp_path / "pkg"], tmp_path / "pkg") == ()


def test_versions_are_compared_across_files() -> None:
    one, other = (
        Source(f"v{number}.py", f"import endpoints\nA = endpoints.api('a', '1.{number}.0', base_path='/x')\n")
        for number in (1, 2)
    )
    assert ("v2.py", 2, "versions-share-urls") in places(check([one, other]))


def test_findings_are_printed_with_place_severity_and_remedy() -> None:
    finding = check([Source("api.py", "import endpoints\n")])[0]
    assert str(finding) == (
        "api.py:1: error import-endpoints: endpoints is imported\n    Write: from authz.frameworks import endpoints"
    )


def test_files_directories_and_modules_are_read(tmp_path: Path) -> None:
    (tmp_path / "pkg" / "inner").mkdir(parents=True)
    (tmp_path / "pkg" / ".venv").mkdir()
    for name in ("pkg/__init__.py", "pkg/inner/api.py", "pkg/.venv/hidden.py", "single.py"):
        (tmp_path / name).write_text("import endpoints\n")
    (tmp_path / "latin.py").write_bytes(b"# caf\xe9\r\nimport endpoints\r\n")
    inner = str(tmp_path / "pkg" / "inner" / "api.py")
    assert {one.file for one in check(["pkg"], tmp_path)} == {str(tmp_path / "pkg" / "__init__.py"), inner}
    assert {one.file for one in check([tmp_path / "pkg" / "inner"])} == {inner}
    assert {one.file for one in check(["pkg.inner.api:Api,Other"], tmp_path)} == {inner}
    assert places(check([tmp_path / "latin.py"])) == [(str(tmp_path / "latin.py"), 2, "import-endpoints")]
    assert len(check(["single", "single.py", tmp_path / "single.py"], tmp_path)) == 1


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for thing, says in (("nope", "no file, no directory and no module"), ("a-b", "no module"), ("empty", "no Python")):
        with pytest.raises(UsageError, match=says):
            check([thing], tmp_path)


def test_a_file_that_is_no_python_at_all_is_one_of_them() -> None:
    findings = found("\n".join("this is no { python" for _ in range(100)))
    assert (0, "unreadable") in findings
    assert len(findings) < 40
    assert (31, "import-endpoints") in found("{ (\n" * 30 + "import endpoints\n" + ") }\n" * 30)
    assert {code for _, code in found("(" * 5000)} == {"unreadable"}
    assert found("\x00\n") == []


def test_a_long_file_of_python_2_is_read_at_once() -> None:
    block = "try:\n  print 'a'\nexcept A, e:\n  print e.b\nx = '''\nprint this\nexcept A, e:\n'''\n"
    findings = found(block * 500)
    assert len(findings) == 1500
    assert {line % 8 for line, _ in findings} == {2, 3, 4}


LINES = st.sampled_from(
    [*OLD.splitlines(), *NEW.splitlines(), "print 'x'", "x = 010", "except A, b:", "\t", "'''", "(", "\\"]
)


@given(st.text(max_size=200) | st.lists(LINES, max_size=20).map("\n".join))
def test_any_text_gives_findings_with_lines_in_it(text: str) -> None:
    last = text.count("\n") + 1
    for line, code in found(text):
        assert 0 <= line <= last
        assert code in {rule.code for rule in RULES}
