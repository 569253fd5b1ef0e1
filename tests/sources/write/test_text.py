"""YAML for people."""

import yaml
from hypothesis import given
from hypothesis import strategies as st

from authz.sources.syntax import yaml_tree
from authz.sources.write import as_yaml


def test_texts_of_several_lines_are_blocks_and_nothing_refers_to_anything():
    shared = {"type": "string"}
    text = as_yaml({"swagger": "2.0", "about": "One.\n\nTwo: three.", "a": shared, "b": shared})

    assert text.partition("\n")[2] == (
        "swagger: '2.0'\nabout: |-\n  One.\n\n  Two: three.\na:\n  type: string\nb:\n  type: string\n"
    )


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc"), include_characters="\n\t"))


@given(
    st.recursive(
        TEXTS | st.none() | st.booleans() | st.integers() | NUMBERS,
        lambda of: st.dictionaries(TEXTS, of) | st.lists(of),
    )
)
def test_what_is_written_is_what_is_read(value):
    text = as_yaml({"value": value})

    assert yaml.safe_load(text) == {"value": value}
    assert yaml_tree.read(text)[0] == {"value": value}


def test_the_first_line_says_how_to_use_it(museum_document):
    first = as_yaml(museum_document).partition("\n")[0]

    assert first.startswith("# ")
    assert "authz up" in first
