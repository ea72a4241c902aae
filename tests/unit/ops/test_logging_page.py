"""`docs/logging.md` names every atom, and says of it what the code says."""

from __future__ import annotations

import re
from pathlib import Path

from paste_unicorn.ops.access_atoms import ATOMS

PAGE = Path(__file__).resolve().parents[3] / "docs" / "logging.md"


def test_the_page_has_every_atom_with_its_meaning() -> None:
    rows = re.findall(r"^\| `(\w)` \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    assert rows == [(atom, meaning) for atom, (meaning, _) in ATOMS.items()]
