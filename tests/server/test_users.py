"""`paster serve --user --group`: the runner becomes somebody else before it loads anything, and so all others are."""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import for_all
from support.gates import spinning
from support.processes import wait_until_gone
from support.server import Server, command, serve, wait_for

APP = "paste.app_factory = support.supervised:make_app"
NOBODY = pwd.getpwnam("nobody")
GROUP = "nogroup"
IS_ROOT = os.geteuid() == 0


@pytest.fixture(scope="module")
def programs() -> Iterator[Path]:
    """Where the `paster` is that anybody may run."""
    with tempfile.TemporaryDirectory(prefix="unicorn-test-") as folder:
        os.chmod(folder, 0o755)
        try:
            found = for_all.make(Path(folder) / "venv")
        except for_all.NotHere as reason:
            pytest.skip(str(reason))
        yield found


def identities(server: Server) -> set[tuple[str, str]]:
    """The user and group lines of all processes: real, effective, saved, of the file system."""
    found = set()
    for process in server.processes():
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        found.add((_line(lines, "Uid:"), _line(lines, "Gid:")))
    return found


def _line(lines: list[str], start: str) -> str:
    (line,) = [line for line in lines if line.startswith(start)]
    return " ".join(line.split()[1:])


def check_refused(programs: Path, **as_whom: object) -> None:
    """Who is not root gets no further than the runner."""
    line = command("paster", "nowhere.ini", ["--user=root"], programs)
    done: subprocess.CompletedProcess[str] = subprocess.run(
        line, cwd="/", capture_output=True, text=True, timeout=60, check=False, **as_whom
    )  # type: ignore[call-overload]
    assert done.returncode != 0
    assert "Operation not permitted" in done.stdout + done.stderr


def test_all_processes_of_all_generations_are_of_the_user_and_nothing_outlives_them(programs: Path) -> None:
    if not IS_ROOT:
        check_refused(programs)
        return
    check_refused(programs, user=NOBODY.pw_uid, group=NOBODY.pw_gid, extra_groups=[])
    args, nowhere = ["--user=nobody", f"--group={GROUP}"], {"PYTHONPATH": ""}
    with serve(settings={"workers": "2"}, app=APP, args=args, env=nowhere, programs=programs) as server:
        server.wait_for_log("Serving")
        everybody = {(" ".join([str(NOBODY.pw_uid)] * 4), " ".join([str(NOBODY.pw_gid)] * 4))}
        assert identities(server) == everybody
        assert len(server.processes()) == 4
        server.signal(signal.SIGHUP)
        server.wait_for_log("Generation 2 serves")
        wait_for(lambda: len(server.titled("unicorn: template")) == 1, "the old generation to be gone")
        assert identities(server) == everybody
        seen = json.loads(server.get("/process").body)
        assert (seen["uid"], seen["gid"]) == (NOBODY.pw_uid, NOBODY.pw_gid)
        assert 0 not in seen["groups"]
        # Without root's rights the kernel still ends them with the arbiter.
        all_of_them = [one.pid for one in server.processes()]
        with spinning(server):
            os.kill(server.pid, signal.SIGKILL)
            assert wait_until_gone(all_of_them, 10.0) == []
        server.popen.wait()


def test_it_stops_with_exit_code_0(programs: Path) -> None:
    if not IS_ROOT:
        check_refused(programs)
        return
    args, nowhere = ["--user=nobody", f"--group={GROUP}"], {"PYTHONPATH": ""}
    with serve(settings={"workers": "1"}, app=APP, args=args, env=nowhere, programs=programs) as server:
        server.wait_for_log("Serving")
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
