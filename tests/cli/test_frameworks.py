"""`authz openapi from-python`, and commands that take `MODULE:CLASS` for a document."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from authz.cli import root
from authz.cli.runners import UpRequest

SHOP = """\
from authz.frameworks import endpoints, message_types, messages, remote

class Item(messages.Message):
    name = messages.StringField(1)

@endpoints.api(name="echo", version="v1")
class Echo(remote.Service):
    @endpoints.method(message_types.VoidMessage, Item, http_method="GET")
    def get(self, request):
        return Item()

@endpoints.api(name="echo", version="2.1.0-beta", hostname="own.example.com")
class Beta(remote.Service):
    @endpoints.method(message_types.VoidMessage, Item, http_method="GET")
    def get(self, request):
        return Item()

@endpoints.api(name="a-Shop", version="v1", issuers={"me": endpoints.Issuer("https://me.example", None)})
class Shop(remote.Service):
    @endpoints.method(message_types.VoidMessage, Item, http_method="GET", audiences={"me": ["x"]})
    def get(self, request):
        return Item()

def wrong():
    @endpoints.api(name="wrong", version="v1")
    class Wrong(remote.Service):
        @endpoints.method(message_types.VoidMessage, Item, path="a{b}c")
        def get(self, request):
            return Item()
    return Wrong

Wrong = wrong()
del wrong
print("imported")
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "a_shop.py").write_text(SHOP)
    yield tmp_path
    sys.modules.pop("a_shop", None)


def run(*words: str, **more: Any) -> Result:
    return CliRunner(env=more.pop("env", None)).invoke(root, [*words], **more)


def written(*words: str) -> Result:
    result = run("openapi", "from-python", *words)
    assert result.exit_code == 0, result.stderr
    return result


def read(file: str | Path) -> Any:
    return json.loads(Path(file).read_text())


def test_one_document_is_the_output() -> None:
    result = written("a_shop:Echo", "--hostname", "api.example.com")
    document = json.loads(result.stdout)

    assert document["swagger"] == "2.0"
    assert (document["host"], document["schemes"], document["basePath"]) == ("api.example.com", ["https"], "/_ah/api")
    assert list(document["paths"]) == ["/echo/v1/get"]
    assert result.stdout == json.dumps(document, indent=2, sort_keys=True) + "\n"
    assert result.stderr == "imported\n"


@pytest.mark.parametrize(
    ("version", "line"),
    [("2", "swagger: 2.0"), ("2.0", "swagger: 2.0"), ("3", "openapi: 3.1"), ("3.1", "openapi: 3.1")],
)
def test_every_version_can_be_asked_for(version: str, line: str) -> None:
    key, value = line.split(": ")

    assert json.loads(written("a_shop:Echo", "--version", version).stdout)[key].startswith(value)


def test_the_classes_own_host_comes_first() -> None:
    assert json.loads(written("a_shop:Beta", "--hostname", "api.example.com").stdout)["host"] == "own.example.com"


def test_without_any_host_there_is_none() -> None:
    assert "host" not in json.loads(written("a_shop:Echo").stdout)


def test_several_documents_have_their_old_names_and_replace_what_is_there(place: Path) -> None:
    (place / "echov1openapi.json").write_text("old")
    result = written("a_shop:Echo,Beta", "a_shop:Shop")

    names = ["aShopv1openapi.json", "echo2.1.0betaopenapi.json", "echov1openapi.json"]
    assert sorted(path.name for path in place.glob("*.json")) == names
    assert [read(name)["info"]["version"] for name in names] == ["v1", "2.1.0-beta", "v1"]
    assert [line for line in result.stderr.splitlines() if "wrote" in line] == [
        "wrote echov1openapi.json", "wrote echo2.1.0betaopenapi.json", "wrote aShopv1openapi.json"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("classes", "output", "files"),
    [
        ("Echo", "one.json", ["one.json"]),
        ("Echo", "new/", ["new/echov1openapi.json"]),
        ("Echo", "there", ["there/echov1openapi.json"]),
        ("Echo,Beta", "new", ["new/echo2.1.0betaopenapi.json", "new/echov1openapi.json"]),
        ("Echo,Beta", "new/deep", ["new/deep/echo2.1.0betaopenapi.json", "new/deep/echov1openapi.json"]),
    ],
)
def test_where_documents_go(place: Path, classes: str, output: str, files: list[str]) -> None:
    (place / "there").mkdir()
    result = written(f"a_shop:{classes}", "--output", output, "--json")

    assert sorted(str(path.relative_to(place)) for path in place.rglob("*.json")) == files
    assert sorted(row["file"] for row in json.loads(result.stdout)) == files


def test_what_cannot_be_written_is_said(place: Path) -> None:
    (place / "taken").write_text("")
    for classes, output in (("Echo,Beta", "taken"), ("Echo", "taken/one.json")):
        result = run("openapi", "from-python", f"a_shop:{classes}", "--output", output)
        assert (result.exit_code, "cannot be" in result.stderr) == (2, True), result.stderr


def test_only_documents_are_written_over(place: Path) -> None:
    (place / "empty").write_text("")
    for output in ("empty", "empty", "new.json"):
        assert written("a_shop:Echo", "--output", output).exit_code == 0
    text = (place / "a_shop.py").read_text()
    result = run("openapi", "from-python", "a_shop:Echo", "--output", "a_shop.py")

    assert (result.exit_code, (place / "a_shop.py").read_text()) == (2, text)
    assert "error: a_shop.py exists, and is no document" in result.stderr


@pytest.mark.parametrize("host", ["https://api.example.com", "api.example.com/v1", "api example", " "])
def test_a_host_is_written_without_scheme_and_path(host: str) -> None:
    result = run("openapi", "from-python", "a_shop:Echo", "--hostname", host)

    assert (result.exit_code, result.stdout) == (2, "")
    assert f"error: '{host}' is no host name" in result.stderr


@pytest.mark.parametrize("version", ["2", "3"])
def test_they_can_be_deployed_together_as_they_are(version: str) -> None:
    """APIs of one host and one major version get names; others do not, which is what the old tool wrote."""
    written("a_shop:Echo,Beta,Shop", "--hostname", "api.example.com", "--version", version, "--output", ".")
    files = ["echov1openapi.json", "echo2.1.0betaopenapi.json", "aShopv1openapi.json"]
    result = run("openapi", "lint", *files, "--json")

    assert json.loads(result.stdout) == {"findings": [], "errors": 0, "warnings": 0}
    named = [json.dumps(read(file)) for file in files]
    key = "x-google-api-name" if version == "2" else "apiName"
    assert [f'"{key}": "{name}"' in text for name, text in zip(("echo", "", "ashop"), named, strict=True)] == [
        True, False, True
    ]  # fmt: skip


def test_a_name_for_every_api() -> None:
    assert json.loads(written("a_shop:Echo", "--api-name").stdout)["x-google-api-name"] == "echo"
    result = run("openapi", "from-python", "a_shop:Shop", "--api-name")
    assert (result.exit_code, "a-Shop" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("a_shop:Item", "a_shop.Item"),
        ("a_shop:Nothing", "has no 'Nothing'"),
        ("a_nothing", "there is no module 'a_nothing'"),
        ("a_shop:Wrong", "a{b}c"),
        ("./a_shop.py", "names no module"),
    ],
)
def test_a_mistake_is_one_message(word: str, message: str) -> None:
    result = run("openapi", "from-python", word)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr

    told = json.loads(run("openapi", "from-python", word, "--json").stdout)
    assert message in told["error"]


APP = """\
from fastapi import FastAPI
from authz.frameworks import adapters

app = FastAPI(title="store", version="1.4.0")
adapters.declare(app, HOST)

@app.get("/items")
@adapters.protect(api_key_required=True)
def items() -> list[str]:
    return []
"""


@pytest.mark.parametrize(
    ("own", "words", "url"),
    [
        ("", [], None),
        ("", ["--hostname", "api.example.com", "--version", "3"], "https://api.example.com"),
        ("hostname='own.example.com'", ["--hostname", "api.example.com"], "https://own.example.com"),
    ],
)
def test_other_frameworks_apps(place: Path, own: str, words: list[str], url: str | None) -> None:
    (place / "an_app.py").write_text(APP.replace("HOST", own))
    try:
        document = json.loads(written("an_app", *words).stdout)
        written("an_app:app", "--output", "new/")
        refusal = run("openapi", "from-python", "an_app:app", "--version", "2")
    finally:
        sys.modules.pop("an_app", None)

    assert document["openapi"].startswith("3.1")
    assert [server["url"] for server in document.get("servers", ())] == ([url] if url else [])
    assert document["paths"]["/items"]["get"]["security"] == [{"api_key": []}]
    assert read("new/store1.4.0openapi.json")["info"]["title"] == "store"
    assert (refusal.exit_code, "--version 3" in refusal.stderr) == (2, True)


def test_another_directory_of_modules(place: Path) -> None:
    (place / "src").mkdir()
    (place / "a_shop.py").rename(place / "src" / "a_shop.py")
    assert run("openapi", "from-python", "a_shop:Echo").exit_code == 2
    written("a_shop:Echo", "--application", "src")


# -- check ------------------------------------------------------------------------------------------------------------

OLD = "import endpoints\n\nprint 'hello'\n"


@pytest.mark.parametrize("thing", ["an_old.py", "an_old", ".", "{place}/an_old.py"])
def test_old_code_is_read_and_not_run(place: Path, thing: str) -> None:
    (place / "a_shop.py").unlink()
    (place / "an_old.py").write_text(OLD)
    result = run("frameworks", "check", thing.format(place=place))

    assert result.exit_code == 2
    assert "an_old.py:1: error import-endpoints: " in result.stdout
    assert "from authz.frameworks import endpoints" in result.stdout
    assert result.stdout.endswith("2 errors\n")

    told = json.loads(run("frameworks", "check", thing.format(place=place), "--json").stdout)
    assert [(one["line"], one["code"]) for one in told["findings"]] == [(1, "import-endpoints"), (3, "python2-syntax")]
    assert (told["errors"], told["warnings"]) == (2, 0)


def test_warnings_alone_are_no_failure(place: Path) -> None:
    """The shop is written for here; it says no base_path."""
    file = place / "a_shop.py"
    file.write_text(file.read_text().replace("a{b}c", "abc"))
    result = run("frameworks", "check", "a_shop")

    assert (result.exit_code, "warning base-path-default" in result.stdout) == (0, True), result.stdout


def test_what_is_not_there_cannot_be_checked() -> None:
    assert "is no file, no directory and no module" in run("frameworks", "check", "nowhere").stderr


# -- up and deploy ----------------------------------------------------------------------------------------------------


class Recorder:
    """Runners that note what they are asked for."""

    request: UpRequest

    def up(self, request: UpRequest, _screen: object) -> int:
        self.request = request
        return 0


def asked(*words: str, **more: Any) -> UpRequest:
    recorder = Recorder()
    result = run("up", *words, obj=recorder, **more)
    assert result.exit_code == 0, result.output
    return recorder.request


def test_up_writes_documents_and_has_the_classes_served() -> None:
    request = asked("a_shop:Echo", "a_shop:Beta")
    documents = [json.loads(text.text) for text in request.texts]

    assert request.code is not None
    assert request.code.words == ("a_shop:Echo", "a_shop:Beta")
    assert [(one["host"], one["schemes"]) for one in documents] == [
        ("localhost", ["http"]), ("own.example.com", ["https"])
    ]  # fmt: skip
    # It is another process that imports them.
    assert "a_shop" not in sys.modules


def test_up_with_a_backend_only_writes(place: Path) -> None:
    (place / "more.yaml").write_text("openapi: 3.0.3\n")
    for request in (
        asked("more.yaml", "a_shop:Echo", "--service", "api.example.com", "--backend", "http://127.0.0.1:8082"),
        asked("more.yaml", "a_shop:Echo", "--service", "api.example.com", env={"AUTHZ_BACKEND": "http://b:1"}),
    ):
        assert request.code is None
        assert [text.file for text in request.texts] == ["more.yaml", "echov1openapi.json"]
        assert json.loads(request.texts[1].text)["host"] == "api.example.com"


@pytest.mark.parametrize(
    "more",
    [
        "import threading\nthreading.Thread(target=threading.Event().wait).start()",
        "import os, time\nif os.fork() == 0:\n    time.sleep(60)\n    os._exit(0)",
        "try:\n    input()\nexcept EOFError:\n    pass\nelse:\n    raise ValueError",
    ],
    ids=["a thread", "a fork", "a question"],
)
def test_what_a_module_starts_keeps_nobody_waiting(place: Path, monkeypatch: pytest.MonkeyPatch, more: str) -> None:
    monkeypatch.setattr("authz.cli.frameworks._END_SECONDS", 0.1)
    (place / "a_shop.py").write_text(f"{SHOP}\n{more}\n")

    assert [json.loads(text.text)["host"] for text in asked("a_shop:Echo").texts] == ["localhost"]


@pytest.mark.parametrize("name", ["authz", "json", "types", "uvicorn"])
def test_files_named_like_modules_of_ours_are_not_in_the_way(place: Path, name: str) -> None:
    (place / f"{name}.py").write_text("print('the wrong one')\nraise ValueError\n")

    assert [json.loads(text.text)["host"] for text in asked("a_shop:Echo").texts] == ["localhost"]


def test_modules_may_lie_beside_the_application(place: Path) -> None:
    (place / "app").mkdir()
    (place / "app" / "main.py").write_text("from a_shop import Echo\n")

    assert asked("main:Echo", "--application", "app").texts
    assert written("main:Echo", "--application", "app")
    sys.modules.pop("main")


def test_deploy_takes_classes(place: Path) -> None:
    words = ("deploy", "a_shop:Echo", "--service", "api.example.com", "--data-dir", str(place / "data"), "--no-wait")
    result = run(*words, "--json")

    assert result.exit_code == 0, result.output
    (service,) = json.loads(result.stdout)["services"]
    assert (service["service"], service["is_new"]) == ("api.example.com", True)
    # The same classes are the same text, and change nothing.
    assert not json.loads(run(*words, "--json").stdout)["services"][0]["is_new"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("a_shop.py", "Name its module: a_shop or a_shop:CLASS."),
        ("src/a_shop.py", "a_shop:CLASS --application src."),
        ("nothing.yaml", "does not exist"),
        ("a_nothing:Echo", "there is no module"),
        ("a_nothing", "there is neither a file nor a module 'a_nothing'"),
        ("a_shop.nothing:Echo", "there is no module"),
        ("a/b", "does not exist"),
    ],
)
def test_what_is_neither_document_nor_class(word: str, message: str) -> None:
    result = run("up", word, obj=Recorder())

    assert result.exit_code == 2
    assert message in result.stdout + result.stderr


def test_a_package_is_a_module(place: Path) -> None:
    (place / "a_package").mkdir()
    (place / "a_package" / "__init__.py").write_text(SHOP.replace("a{b}c", "abc"))

    assert len(asked("a_package").texts) == 4


def test_a_directory_is_neither(place: Path) -> None:
    (place / "documents").mkdir()
    result = run("up", "documents", obj=Recorder())

    assert (result.exit_code, "documents" in result.stderr) == (2, True)


def test_a_file_that_is_named_like_a_module_is_a_file(place: Path) -> None:
    (place / "openapi").write_text("openapi: 3.0.3\n")

    assert [text.file for text in asked("openapi").texts] == ["openapi"]
