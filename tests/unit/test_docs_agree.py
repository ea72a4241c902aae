"""Pages that are printed from tables say what the tables say."""

from __future__ import annotations

import re
from pathlib import Path

from paste_unicorn.settings import reference

DOCS = Path(__file__).parents[2] / "docs"


def test_the_settings_page_is_what_the_rows_print() -> None:
    page = (DOCS / "settings.md").read_text(encoding="utf-8")
    assert page == reference.page(), (
        "docs/settings.md is stale: python -m paste_unicorn.settings.reference > docs/settings.md"
    )


def test_the_tour_names_files_that_exist() -> None:
    named = re.findall(r"`([a-z_/]+\.py)`", (DOCS / "architecture.md").read_text(encoding="utf-8"))
    there = [str(path) for folder in ("paste_unicorn", "tests") for path in (DOCS.parent / folder).rglob("*.py")]
    assert len(named) > 50
    assert [name for name in named if not any(path.endswith(f"/{name}") for path in there)] == []
