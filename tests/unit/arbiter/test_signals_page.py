"""docs/signals.md is the table, printed."""

from __future__ import annotations

from pathlib import Path

from paste_unicorn.arbiter.decide import TABLE
from paste_unicorn.arbiter.reference import page
from paste_unicorn.arbiter.rules.balance import STEPS

PAGE = Path(__file__).parents[3] / "docs" / "signals.md"


def test_the_page_says_what_the_table_says() -> None:
    fresh = "python -m paste_unicorn.arbiter.reference > docs/signals.md"
    assert PAGE.read_text() == page(), f"docs/signals.md is stale; run: {fresh}"


def test_every_rule_and_every_step_says_in_a_sentence_what_it_does() -> None:
    for rule in (*(rule for row in TABLE.values() for rule in row), *STEPS):
        assert rule.__doc__, rule


def test_the_page_lists_what_follows_each_rule_in_the_order_in_which_it_is_done() -> None:
    text = page()
    places = [text.index(f"{number}. `{step.__name__}`: ") for number, step in enumerate(STEPS, 1)]
    assert places == sorted(places)
