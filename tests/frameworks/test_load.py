"""User code named by words: what is found in it, and how its mistakes are told."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from authz.errors import UsageError
from authz.frameworks.load import application, is_word, load, told

SHOP = """\
class Api:
    api_info = None
class Shop:
    api_info = None
    class Inner:
        api_info = None
class Plain:
    pass
class _Hidden:
    api_info = None
class Heir(Shop):
    pass
class Frame:
    def describe(self):
        return ()
frame = Frame()
NUMBER = 3
from authz.frameworks import adapters, typed
builder = typed.Api("a", "v1")
print("hello from the shop")
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A directory of modules, which are forgotten afterwards."""
    path, modules = [*sys.path], set(sys.modules)
    (tmp_path / "a_shop.py").write_text(SHOP)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def names(things: tuple[object, ...]) -> list[str]:
    return [thing.__name__ if isinstance(thing, type) else type(thing).__name__ for thing in things]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["a_shop"], ["Api", "Shop", "Api"]),
        (["a_shop:Shop"], ["Shop"]),
        (["a_shop:Shop,Api"], ["Shop", "Api"]),
        (["a_shop:Api", "a_shop:Shop", "a_shop:Api"], ["Api", "Shop"]),
        (["a_shop:Shop.Inner"], ["Inner"]),
        (["a_shop:_Hidden,builder,frame"], ["_Hidden", "Api", "Frame"]),
        (["a_shop.Shop"], ["Shop"]),
        (["a_shop.Shop.Inner"], ["Inner"]),
        (["a_package.inside:Thing"], ["Thing"]),
        (["a_package.inside.Thing"], ["Thing"]),
        (["a_main"], ["Shop"]),
    ],
)
def test_words_name_what_is_declared(place: Path, words: list[str], found: list[str]) -> None:
    (place / "a_package").mkdir()
    (place / "a_package" / "__init__.py").touch()
    (place / "a_package" / "inside.py").write_text("class Thing: api_info = None")
    (place / "a_main.py").write_text("from a_shop import Shop\n")

    assert names(load(words, place)) == found


def test_what_modules_print_is_no_output(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load(["a_shop"], place)

    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "hello from the shop\n")


@pytest.mark.parametrize(
    ("word", "message", "remedy"),
    [
        ("a_missing", "there is no module 'a_missing'", "--application"),
        ("a_missing:Shop", "there is no module 'a_missing'", "--application"),
        ("a_shop.inside:Shop", "there is no module 'a_shop.inside'", "--application"),
        ("a_shop.py", "there is no module 'a_shop.py'", "without .py: a_shop, or a_shop:CLASS"),
        ("a_shop.py:Shop", "there is no module 'a_shop.py'", "without .py: a_shop, or a_shop:CLASS"),
        ("a_shop:Shp", "a_shop.py has no 'Shp'", "It declares Shop."),
        ("a_shop:Zzz", "a_shop.py has no 'Zzz'", "It declares Api, Shop, _Hidden, builder."),
        ("a_shop.Nothing", "a_shop.py has no 'Nothing'", "It declares Api"),
        ("a_bare", "a_bare.py declares no API", "@endpoints.api"),
        ("a_bare:Zzz", "a_bare.py has no 'Zzz'", "No class in it"),
        ("json", "json/__init__.py declares no API", "@endpoints.api"),
        ("a-shop", "'a-shop' names no module", "main:EchoApi"),
        ("a_shop:", "'a_shop:' names no module", "main:EchoApi"),
        (":Shop", "':Shop' names no module", "main:EchoApi"),
        ("", "'' names no module", "main:EchoApi"),
        ("a_shop:Shop,", "names no module", "main:EchoApi"),
    ],
)
def test_a_word_that_names_nothing(place: Path, word: str, message: str, remedy: str) -> None:
    (place / "a_bare.py").write_text("class Plain: pass\n")
    with pytest.raises(UsageError) as caught:
        load([word], place)

    assert message in caught.value.message
    assert remedy in caught.value.remedy


def test_a_directory_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no directory"):
        load(["a_shop"], tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        ("\nx = 1 / 0\n", "a_wrong.py:2: ZeroDivisionError: division by zero", ""),
        ("def broken(:\n", "a_wrong.py:1: SyntaxError: invalid syntax", ""),
        ("import a_nothing\n", "a_wrong.py:1: ModuleNotFoundError: No module named 'a_nothing'", "-m pip"),
        ("import json.nothing\n", "a_wrong.py:1: ModuleNotFoundError: No module named 'json.nothing'", ""),
        ("\nimport endpoints\n", "a_wrong.py:2: ModuleNotFoundError: No module named 'endpoints'", "authz.frameworks"),
        ("from protorpc import messages\n", "a_wrong.py:1: ModuleNotFoundError", "from authz.frameworks import"),
        ("import sys\nsys.exit(4)\n", "a_wrong.py:2: the module ends the process (exit code 4)", ""),
        ("import json\njson.loads('[')\n", "a_wrong.py:2: JSONDecodeError: Expecting value", ""),
        ("raise RuntimeError\n", "a_wrong.py:1: RuntimeError", ""),
        ("import a_deep\n", "a_deep.py:1: NameError: name 'nobody' is not defined", ""),
        ("from a_shop import Nobody\n", "a_wrong.py:1: ImportError: cannot import name 'Nobody'", ""),
    ],
)
def test_their_mistakes_have_their_lines(place: Path, text: str, message: str, remedy: str) -> None:
    (place / "a_wrong.py").write_text(text)
    (place / "a_deep.py").write_text("nobody\n")
    with pytest.raises(UsageError) as caught:
        load(["a_wrong:Shop"], place)

    assert caught.value.message.startswith(message)
    assert remedy in caught.value.remedy
    assert bool(remedy) == bool(caught.value.remedy)


def test_what_our_decorators_say_is_said_as_it_is(place: Path) -> None:
    (place / "a_wrong.py").write_text("from authz.frameworks.service import Parameter\n\nParameter(nonsense=1)\n")
    with pytest.raises(UsageError) as caught:
        load(["a_wrong"], place)

    assert caught.value.message.startswith("a_wrong.py:3: ")


@pytest.mark.parametrize("server", ["api_server", "asgi_server"])
def test_an_application_among_others_is_named_by_its_apis(place: Path, server: str) -> None:
    text = "from authz.frameworks import endpoints, typed\n" + "one, two = (typed.Api(name, 'v1') for name in 'ab')\n"
    (place / "a_server.py").write_text(f"{text}app = endpoints.{server}([one, two])\n")
    with pytest.raises(UsageError, match="the application of a v1, b v1 is served by itself, without others") as caught:
        application(load(["a_shop:builder", "a_server"], place), header_prefix="X-")

    assert "MODULE:CLASS" in caught.value.remedy


def test_interrupting_is_no_mistake() -> None:
    with pytest.raises(KeyboardInterrupt), told():
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("main", True), ("main:Echo", True), ("a.b:C,D.E", True), ("main:", False), ("a-b", False), ("", False),
        ("./main", False), ("a/b:C", False), ("http://x", False), ("main:Echo Api", False), ("müsli:Ä", True),
    ],
)  # fmt: skip
def test_words(text: str, is_one: bool) -> None:
    assert is_word(text) is is_one
