"""Pages that are printed from tables say what the tables say."""

from __future__ import annotations

from pathlib import Path

from paste_unicorn.settings import reference

DOCS = Path(__file__).parents[2] / "docs"


def test_the_settings_page_is_what_the_rows_print() -> None:
    page = (DOCS / "settings.md").read_text(encoding="utf-8")
    assert page == reference.page(), (
        "docs/settings.md is stale: python -m paste_unicorn.settings.reference > docs/settings.md"
    )
