"""Whatever somebody writes gives settings or problems, never an exception, and each problem is one line."""

from __future__ import annotations

import os

from hypothesis import given, settings
from hypothesis import strategies as st

from paste_unicorn.settings.given import SPELLINGS
from paste_unicorn.settings.report import report
from paste_unicorn.settings.resolve import Source, resolve
from paste_unicorn.settings.table.elsewhere import ELSEWHERE

NAMES = st.sampled_from([*SPELLINGS, *ELSEWHERE, "wrokers", "x_y", ""]) | st.text(max_size=12)
PIECES = st.sampled_from(
    ["1", "0", "-", "0x", "o", "k", "ms", ".", ":", "[", "]", "::", "*", "@", "unix:", "fd://", "/", "=", ",", "\n",
     " ", "{", "}", '"', "true", "none", "auto", "%", "\0", "_", "99999999999999999999", "10.0.0.0/8", "\ud800"]
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=8).map("".join) | st.text(max_size=20)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(NAMES, TEXTS, max_size=6))
def test_any_text_gives_settings_or_problems(written: dict[str, str]) -> None:
    written.pop("config", None)  # runs what it names
    resolved = resolve(written, Source(None, "server:main"), {})
    assert (resolved.settings is None) == bool(resolved.problems)
    for problem in (*resolved.problems, *resolved.notes):
        assert problem.sentence
        assert str(problem).isprintable()
    assert report(resolved.readable, resolved.origins).endswith("\n")


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=200))
def test_any_file_may_be_asked_for_lines(tmp_path_factory: object, text: str) -> None:
    path = os.path.join(str(tmp_path_factory.mktemp("any", numbered=True)), "a.ini")  # type: ignore[attr-defined]
    with open(path, "w", encoding="utf-8", errors="surrogatepass") as file:
        file.write(f"[server:main]\nuse = config:a.ini\n{text}")
    assert resolve({"wrokers": "1"}, Source(path, "server:main"), {}).problems
