"""Sample configurations in a folder of their own, with a free port where they have theirs; examples of the pages."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from support.ports import free_port
from support.processes import open_files

TOP = Path(__file__).resolve().parents[2]
SAMPLES = TOP / "sample_configs"


def documented(page: str, name: str) -> str:
    """The code that stands under this name on a page of docs/."""
    text = (TOP / "docs" / page).read_text(encoding="utf-8")
    found = re.search(rf"<!-- {re.escape(name)} -->\n```\w+\n(.*?)```", text, re.DOTALL)
    assert found, f"{page} has no {name}"
    return found[1]


def opened(pid: int, path: Path) -> int:
    """How many descriptors of the process are this file."""
    return open_files(pid).count(str(path))


class Sample(NamedTuple):
    """A copy of a sample ini file that listens on a port of its own."""

    ini: Path
    port: int

    @property
    def environment(self) -> dict[str, str]:
        """What its comments say to set: the folder is importable."""
        return {"PYTHONPATH": str(self.ini.parent)}


def copied(folder: Path) -> Callable[[str], Sample]:
    """Copies the samples into this folder; what it gives changes nothing in one of them but the port."""
    shutil.copytree(SAMPLES, folder, ignore=shutil.ignore_patterns("__pycache__", "data"))

    def pick(name: str) -> Sample:
        port = free_port()
        ini = folder / name
        text, count = re.subn(
            r"(?m)^(port = |(?:bind = |    )(?:127\.0\.0\.1|\[::1\]):)\d+$", rf"\g<1>{port}", ini.read_text()
        )
        assert count, f"{name} names no port"
        ini.write_text(text)
        return Sample(ini, port)

    return pick


@pytest.fixture
def sample(tmp_path: Path) -> Callable[[str], Sample]:
    """``sample("hello.ini")``: a copy for one test."""
    return copied(tmp_path / "samples")


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Sample]:
    """The same for the tests of a module."""
    return copied(tmp_path_factory.mktemp("module") / "samples")
