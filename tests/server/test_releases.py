"""A server that is started in a release behind a symlink: what is loaded after the switch is the new one.

The releases have the names that a deployment gives them, `current` is the symlink, and the old one may be gone.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from support.kills import kill
from support.ports import free_port
from support.processes import send_signal, wait_until_gone
from support.reloads import CODE, INI, MODULE, STOCK, Site, errors
from support.server import serve


class Releases:
    """Two of them, and what leads to the one in use."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.current = folder / "current"
        self.lib = folder / "lib"  # where modules are imported from that the release does not have
        self.port = free_port()
        self.first, self.second = self._make("first"), self._make("second")
        self.current.symlink_to(self.first)

    def _make(self, name: str) -> Path:
        release = self.folder / name
        release.mkdir()
        (release / f"{MODULE}.py").write_text(CODE.replace('"first"', f'"{name}"'))
        (release / "stock_of_the_test.py").write_text(STOCK.replace('"first"', f'"{name}"'))
        self.write_ini(release / "prod.ini", name)
        return release

    def write_ini(self, path: Path, name: str) -> None:
        ini = INI.replace("{settings}", "").replace("{app}", f"release = {name}")
        path.write_text(ini.replace("{port}", str(self.port)))

    def switch(self, *, remove: bool = True) -> None:
        """As deployments do, in one step; then the old one is removed, if it is not kept."""
        fresh = self.folder / "fresh"
        fresh.symlink_to(self.second)
        fresh.replace(self.current)
        if remove:
            shutil.rmtree(self.first)

    @contextlib.contextmanager
    def serve(
        self,
        ini: str = "prod.ini",
        pwd: str = "current",
        runner: str = "paster",
        args: Sequence[str] = (),
        python: Sequence[str] = (),
        python_path: Sequence[str] = (),
    ) -> Iterator[Site]:
        """In `current`, from where the modules are imported; $PWD names a folder beside it."""
        paths = os.pathsep.join([".", str(self.lib), *python_path])
        env = {"PWD": str(self.folder / pwd), "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
        where = ["env", "-C", str(self.current), *python]
        with serve(Path(ini), env=env, port=self.port, prefix=where, runner=runner, args=args) as server:
            server.wait_for_log("[INFO] Serving ")
            running = Site(server, self.current)
            assert running.loaded()["code"] == "first"
            try:
                yield running
            finally:
                for pid in running.arbiters():
                    send_signal(pid, signal.SIGTERM)
                assert wait_until_gone([one.pid for one in server.processes()], 10.0) == []


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    return Releases(tmp_path.resolve())


def reload(running: Site) -> None:
    running.reload()


def lose_the_template(running: Site) -> None:
    start = len(running.log())
    kill(running.templates()[0])
    running.wait_for_reload(start)


def upgrade(running: Site) -> None:
    os.kill(running.pid, signal.SIGUSR2)
    running.server.wait_for_log("; TERM ends this one")
    send_signal(running.pid, signal.SIGTERM)
    running.server.wait()
    running.server.wait_for_log("this one is in charge")


WAYS = [reload, lose_the_template, upgrade]


def assert_the_second_serves(running: Site, folder: Path) -> None:
    loaded, process = running.loaded(), running.process()
    assert (loaded["code"], loaded["stock"], loaded["local"]) == ("second", "second", {"release": "second"})
    assert process["cwd"] == str(folder)


@pytest.mark.parametrize("remove", [False, True], ids=["kept", "removed"])
@pytest.mark.parametrize("load", WAYS)
def test_all_that_is_relative_follows_the_symlink(
    releases: Releases, load: Callable[[Site], None], remove: bool
) -> None:
    with releases.serve() as running:
        releases.switch(remove=remove)
        load(running)
        assert_the_second_serves(running, releases.second)
        assert "is gone" not in running.log()


@pytest.mark.parametrize("runner", ["pserve", "gearbox"])
def test_under_another_runner_too(releases: Releases, runner: str) -> None:
    with releases.serve(runner=runner) as running:
        releases.switch()
        running.reload()
        assert_the_second_serves(running, releases.second)


def test_a_pid_file_that_was_removed_with_the_old_release_keeps_nobody_from_taking_over(releases: Releases) -> None:
    with releases.serve(args=["--pid-file=site.pid"]) as running:
        assert int((releases.first / "site.pid").read_text()) == running.pid
        releases.switch()
        upgrade(running)
        assert_the_second_serves(running, releases.second)
        assert errors(running.log()) == []


@pytest.mark.parametrize("remove", [False, True], ids=["kept", "removed"])
def test_the_ini_s_path_names_the_symlink_where_nobody_else_does(releases: Releases, remove: bool) -> None:
    # As under a service manager, which sets no $PWD; or the one that was here before.
    with releases.serve(str(releases.current / "prod.ini"), pwd=".") as running:
        releases.switch(remove=remove)
        running.reload()
        assert_the_second_serves(running, releases.second)


@pytest.mark.parametrize("load", WAYS)
def test_where_the_folder_is_gone_an_ini_that_is_not_is_enough(
    releases: Releases, load: Callable[[Site], None]
) -> None:
    elsewhere = releases.folder / "etc"
    elsewhere.mkdir()
    ini = elsewhere / "prod.ini"
    releases.write_ini(ini, "first")
    with releases.serve(str(ini), pwd="first") as running:
        releases.write_ini(ini, "second")
        shutil.copytree(releases.second, releases.lib)
        releases.switch()
        load(running)
        assert_the_second_serves(running, elsewhere)
        said = f"[WARNING] The folder that the server was started in is gone ({releases.first}): "
        assert f"{said}relative names mean the ini's folder now ({elsewhere})" in running.log()


def test_where_the_ini_is_gone_with_the_folder_the_way_out_is_said(releases: Releases) -> None:
    with releases.serve(pwd="first") as running:
        releases.switch()
        said = running.fail()
        (entry,) = errors(said)
        assert (
            f"The folder that the server was started in is gone ({releases.first}: No such file or directory)" in entry
        )
        assert "Put it back" in entry
        assert "Traceback" not in entry
        releases.first.symlink_to(releases.second)
        running.reload()
        assert running.loaded()["code"] == "second"


def test_a_python_that_is_gone_with_the_release_is_named(releases: Releases) -> None:
    python = releases.first / "python"
    python.symlink_to(sys.executable)
    with releases.serve(python=[str(python)], python_path=sys.path) as running:
        releases.switch()
        (entry,) = errors(running.fail())
        assert f"{python}, the Python of this server, is gone; restart the server with another one" in entry
        assert running.loaded()["code"] == "first"


def test_a_python_that_was_started_through_the_symlink_is_that_of_the_new_release(releases: Releases) -> None:
    for release in (releases.first, releases.second):
        (release / "python").symlink_to(sys.executable)
    python = releases.current / "python"
    with releases.serve(python=[str(python)], python_path=sys.path) as running:
        releases.switch()
        running.reload()
        assert_the_second_serves(running, releases.second)
