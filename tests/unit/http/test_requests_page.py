"""docs/requests.md names places in the code that exist, and every refusal."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
from http_cases import REFUSED

from paste_unicorn.http import refusals
from paste_unicorn.http.refusals import Refusal

PAGE = (Path(__file__).parents[3] / "docs" / "requests.md").read_text(encoding="utf-8")
PLACE = re.compile(r"`(?:paste_unicorn/)?((?:http|wsgi|workers)/\w+)\.py`((?:,? `[\w.]+`)+)")
PLACES = [(module, name) for module, names in PLACE.findall(PAGE) for name in re.findall(r"`([\w.]+)`", names)]


@pytest.mark.parametrize(("module", "name"), sorted(set(PLACES)))
def test_the_place_of_a_rule_exists(module: str, name: str) -> None:
    thing: object = importlib.import_module("paste_unicorn." + module.replace("/", "."))
    for part in name.split("."):
        thing = getattr(thing, part)


def test_each_rule_has_a_place() -> None:
    rules = PAGE.partition("## A second opinion")[0]
    rows = [line for line in rules.splitlines() if line.startswith("| ") and "RFC" in line.split("|")[2]]
    assert len(rows) > 35
    assert [row for row in rows if not PLACE.search(row) and "llhttp" not in row] == []


def test_each_status_is_on_the_page() -> None:
    for row in vars(refusals).values():
        if isinstance(row, Refusal) and row.status != 500:
            assert re.search(rf"\b{row.status}\b", PAGE), row


def test_each_section_of_a_refusal_is_one_of_the_page() -> None:
    for _, refusal in REFUSED:
        document, _, section = refusal.source.partition(" §")
        assert re.search(rf"{re.escape(document)}[^|]*§{re.escape(section)}\b", PAGE), refusal
