"""What `print_config` prints: pure text, from what `resolve` found."""

from __future__ import annotations

from collections.abc import Mapping

from .problems import Place
from .table.whole import ROWS, Settings


def report(settings: Settings, origins: Mapping[str, Place]) -> str:
    """Every setting with its effective value and where it came from."""
    lines = []
    for name, value in settings.flat().items():
        said = f"{name} = {ROWS[name].kind.show(value)}".rstrip().replace("\n", "\\n")
        lines.append(f"{said:<50}  # {origins[name]}")
    return "\n".join(lines) + "\n"
