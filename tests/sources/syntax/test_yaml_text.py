"""YAML for people."""

import yaml
from hypothesis import given
from hypothesis import strategies as st

from authz.sources.syntax import yaml_text, yaml_tree


def test_texts_of_several_lines_are_blocks_and_nothing_refers_to_anything():
    shared = {"type": "string"}
    text = yaml_text.write({"swagger": "2.0", "about": "One.\n\nTwo: three.", "a": shared, "b": shared})

    assert text == ("swagger: '2.0'\nabout: |-\n  One.\n\n  Two: three.\na:\n  type: string\nb:\n  type: string\n")


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
# What looks like something else is what goes wrong.
TRICKY = st.text("0123456789eExo.+-_:#'\"~nulltruefalseyesno ,[]{}|>%@`!&*?\n\t=<", max_size=8)
TEXTS = TRICKY | st.text(st.characters(exclude_categories=("Cs", "Cc"), include_characters="\n\t"))


@given(
    st.recursive(
        TEXTS | st.none() | st.booleans() | st.integers() | NUMBERS,
        lambda of: st.dictionaries(TEXTS, of) | st.lists(of),
    )
)
def test_what_is_written_is_what_is_read(value):
    text = yaml_text.write({"value": value})

    assert yaml.safe_load(text) == {"value": value}
    assert yaml_tree.read(text)[0] == {"value": value}
