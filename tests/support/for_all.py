"""A Python environment that every user of the machine may run: whoever is nobody can't enter the folders of ours."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement

import paste_unicorn

SYSTEM = "/usr/bin/python3"
TESTS = Path(__file__).resolve().parent.parent


class NotHere(Exception):
    """This machine can't have one; `str()` says why."""


def make(folder: Path) -> Path:
    """Make it in this folder: the server, what it requires, the applications of the tests; the folder of programs.

    Nothing is fetched: files of this environment are copied, and so the versions of Python must agree. Raises NotHere.
    """
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    if not Path(SYSTEM).exists():
        raise NotHere(f"there is no {SYSTEM}")
    said = subprocess.run([SYSTEM, "--version"], capture_output=True, text=True, check=True).stdout
    if not said.startswith(f"Python {ours}."):
        raise NotHere(f"{SYSTEM} is {said.strip()}, and the packages here are built for {ours}")
    subprocess.run([SYSTEM, "-m", "venv", "--without-pip", str(folder)], check=True)
    packages = folder / "lib" / f"python{ours}" / "site-packages"
    for name in _required("gunicorn", set()):
        _copy_distribution(name, packages)
    unwanted = shutil.ignore_patterns("__pycache__")
    shutil.copytree(
        Path(paste_unicorn.__file__).parent, packages / "paste_unicorn", ignore=unwanted, dirs_exist_ok=True
    )
    shutil.copytree(TESTS / "support", packages / "support", ignore=unwanted)
    program = folder / "bin" / "paster"
    program.write_text(f"#!{folder}/bin/python\nfrom paste.script.command import run\nrun()\n")
    program.chmod(0o755)
    return program.parent


def _required(name: str, found: set[str]) -> set[str]:
    if name not in found:
        found.add(name)
        for text in importlib.metadata.requires(name) or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                _required(requirement.name, found)
    return found


def _copy_distribution(name: str, packages: Path) -> None:
    for file in importlib.metadata.files(name) or ():
        source, target = Path(str(file.locate())), packages / file
        if ".." in file.parts or "__pycache__" in file.parts or file.parts[0].startswith("__editable__"):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
