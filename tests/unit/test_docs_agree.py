"""Pages that are printed from tables say what the tables say."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from paste_unicorn.ops.kernel import UNLIMITED, Kernel
from paste_unicorn.ops.limits import Situation, limits
from paste_unicorn.settings import manual, reference
from paste_unicorn.settings.needs import needs_of
from paste_unicorn.settings.table.whole import Settings

DOCS = Path(__file__).parents[2] / "docs"
PACKAGE = DOCS.parent / "paste_unicorn"


def test_the_settings_page_is_what_the_rows_print() -> None:
    page = (DOCS / "settings.md").read_text(encoding="utf-8")
    assert page == reference.page(), (
        "docs/settings.md is stale: python -m paste_unicorn.settings.reference > docs/settings.md"
    )


def test_the_manual_is_what_the_rows_and_the_page_of_limits_print() -> None:
    kernel = (DOCS / "kernel.md").read_text(encoding="utf-8")
    page = (DOCS / "gunicorn_paster.1").read_text(encoding="utf-8")
    assert page == manual.page(kernel), (
        "stale: python -m paste_unicorn.settings.manual docs/kernel.md > docs/gunicorn_paster.1"
    )


@pytest.mark.skipif(shutil.which("groff") is None, reason="there is no groff here")
def test_the_manual_is_set_without_a_warning_and_commands_can_be_copied() -> None:
    done = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", "-P-cbou", str(DOCS / "gunicorn_paster.1")], capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stderr == ""
    shown = re.sub("\x1b\\[[0-9;]*m", "", done.stdout)
    for command in re.findall(r"```\n(.*?)```", (DOCS / "kernel.md").read_text(encoding="utf-8"), re.DOTALL):
        for line in filter(None, command.splitlines()):
            assert line[:60].rstrip() in shown


@pytest.mark.parametrize("system", ["linux", "darwin"])
def test_the_page_of_limits_names_each_that_is_compared(system: str) -> None:
    page = (DOCS / "kernel.md").read_text(encoding="utf-8")
    kernel = Kernel(system, *[UNLIMITED] * 12)  # type: ignore[arg-type]
    named = [re.findall(r"\((.*?)\)", limit.name) for limit in limits(kernel, needs_of(Settings()), Situation())]
    assert [names for names in named for name in names if name.partition(".first")[0] not in page] == []


def test_the_tour_names_files_that_exist() -> None:
    named = re.findall(r"`([a-z_/]+\.py)`", (DOCS / "architecture.md").read_text(encoding="utf-8"))
    there = [str(path) for folder in ("paste_unicorn", "tests") for path in (DOCS.parent / folder).rglob("*.py")]
    assert len(named) > 50
    assert [name for name in named if not any(path.endswith(f"/{name}") for path in there)] == []


def test_every_module_is_named_in_the_tour_or_at_its_folder_s_door() -> None:
    """A stranger who comes upon a file finds out where it belongs."""
    tour = (DOCS / "architecture.md").read_text(encoding="utf-8")
    unnamed = []
    for path in sorted(PACKAGE.rglob("*.py")):
        door = ast.get_docstring(ast.parse((path.parent / "__init__.py").read_text(encoding="utf-8")))
        name = str(path.relative_to(PACKAGE))
        if path.name != "__init__.py" and f"`{name}`" not in tour and f"`{path.name}`" not in (door or ""):
            unnamed.append(name)
    assert unnamed == []


def test_the_doors_name_files_that_exist() -> None:
    for door in PACKAGE.rglob("__init__.py"):
        text = ast.get_docstring(ast.parse(door.read_text(encoding="utf-8"))) or ""
        for name in re.findall(r"`([a-z_/]+\.py)`", text):
            assert (door.parent / name).exists() or (PACKAGE / name).exists(), f"{door} names {name}"
