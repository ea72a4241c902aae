"""Text from a client inside a line of a log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paste_unicorn.ops.escaping import Escaped, escaped, indented


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("/plain?a=b&c", "/plain?a=b&c"),
        ('say "hi"', r"say \"hi\""),
        ("back\\slash", r"back\\slash"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("\x00\x1b\x7f\x9b", r"\x00\x1b\x7f\x9b"),
        ("caf\xe9", r"caf\xe9"),
        ("\u2028\U0001f984", r"\u2028\U0001f984"),
    ],
)
def test_what_could_leave_its_place_is_escaped(text: str, safe: str) -> None:
    assert escaped(text) == safe


@given(st.text())
def test_escaped_is_printable_ascii_and_tells_texts_apart(text: str) -> None:
    safe = escaped(text)
    assert safe.isascii()
    assert safe.isprintable()
    assert escaped(text + "\n") != escaped(text + "\\n")


@given(st.text())
def test_only_the_first_line_of_a_record_begins_at_the_margin(text: str) -> None:
    assert all(line.startswith("    ") for line in indented(text).splitlines()[1:])


def test_the_memory_of_escapes_is_bounded() -> None:
    memory = Escaped()
    for number in range(20_000):
        assert memory[f'"{number}'] == f'\\"{number}'
    assert memory["x" * 100_000] == "x" * 100_000
    assert len(memory) <= 4096
    assert max(map(len, memory)) <= 512
