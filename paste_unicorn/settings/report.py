"""What `print_config` and `check_config` print: pure text, from what `resolve` found."""

from __future__ import annotations

from .resolve import Resolved
from .table.whole import ROWS


def report(resolved: Resolved) -> str:
    """Every setting with its effective value and where it came from, for `print_config`; then the verdict."""
    if resolved.settings is None:
        return verdict(resolved)
    lines = []
    for name, value in resolved.settings.flat().items():
        said = f"{name} = {ROWS[name].kind.show(value)}".rstrip().replace("\n", "\\n")
        lines.append(f"{said:<50}  # {resolved.origins[name]}")
    return "\n".join(lines) + "\n\n" + verdict(resolved)


def verdict(resolved: Resolved) -> str:
    """All problems and notes, and in the last line whether the server would start, for `check_config`."""
    lines = [str(problem) for problem in resolved.problems]
    lines += [f"{note.level}: {note}" for note in resolved.notes]
    found = len(resolved.problems)
    if found:
        lines.append(
            f"{resolved.place}: {found} {'error' if found == 1 else 'errors'}; a server would not start with this"
        )
    else:
        lines.append(f"{resolved.place}: the settings are fine")
    return "\n".join(lines) + "\n"
