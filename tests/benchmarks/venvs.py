"""Virtual environments for the measured servers, one each, made once and kept in a cache folder.

A server must not see what another one needs, and two of them install under the same name (`gunicorn`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
# What `paster` needs to run in silence; the same bounds as in our own setup.cfg.
PASTE = ("PasteDeploy>=3.1", "PasteScript>=3.7", "setuptools>=75.8.2,<80.9")
OURS = ("-e", str(REPOSITORY))
# It doesn't declare `packaging`, but imports it.
GUNICORN = ("gunicorn==27.*", "packaging", *PASTE)
# Both sides with the same release of Gevent.
GEVENT = "gevent==26.9.0"
OURS_GREEN = (*OURS, GEVENT, "eventlet==0.41.3")
GUNICORN_GREEN = (*GUNICORN, GEVENT)


class CannotInstall(RuntimeError):
    """An environment could not be made; the text is pip's last word about it."""


def default_cache() -> Path:
    """The folder for environments and built files: never inside the repository."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "paste_unicorn-benchmarks"


def _run(command: Sequence[str], cwd: Path, timeout_s: float = 600) -> None:
    """Run a command to its end; raise CannotInstall with the most telling line of its output."""
    try:
        done = subprocess.run(
            command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s
        )
    except subprocess.TimeoutExpired:
        raise CannotInstall(f"not done after {timeout_s:.0f} s") from None
    if done.returncode:
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        telling = [line for line in lines if "error" in line.lower()]
        raise CannotInstall((telling or lines or [f"exit code {done.returncode}"])[-1][:200])


def environment(cache: Path, name: str, requirements: Sequence[str]) -> Path:
    """The `bin` folder of the environment `name`, made now unless the cache holds it with these requirements.

    Raises CannotInstall.
    """
    home = cache / "venvs" / name
    wanted = "\n".join([sys.version, *requirements])
    stamp = home / "requirements.txt"
    if stamp.exists() and stamp.read_text() == wanted:
        return home / "bin"
    shutil.rmtree(home, ignore_errors=True)
    home.parent.mkdir(parents=True, exist_ok=True)
    print(f"installing {name} ...", file=sys.stderr)
    _run([sys.executable, "-m", "venv", str(home)], cwd=home.parent)
    if requirements:
        _run([str(home / "bin" / "pip"), "install", "--quiet", *requirements], cwd=home)
    stamp.write_text(wanted)
    return home / "bin"


@contextmanager
def working_tree(commit: str) -> Iterator[Path]:
    """A clean working tree of another commit of ours, while the `with` lasts. Raises CannotInstall."""
    with tempfile.TemporaryDirectory(prefix="against-") as folder:
        tree = Path(folder) / "tree"
        _run(["git", "worktree", "add", "--detach", str(tree), commit], cwd=REPOSITORY)
        try:
            yield tree
        finally:
            _run(["git", "worktree", "remove", "--force", str(tree)], cwd=REPOSITORY)


def run_in(binaries: Path, *command: str, cwd: Path) -> None:
    """Run a program of an environment to its end. Raises CannotInstall."""
    _run([str(binaries / command[0]), *command[1:]], cwd=cwd)


def version_of(binaries: Path, distribution: str) -> str:
    """The installed version of a distribution, "" when it isn't there."""
    code = f"from importlib.metadata import version; print(version({distribution!r}))"
    done = subprocess.run([binaries / "python", "-I", "-c", code], capture_output=True, text=True)
    return done.stdout.strip()
