"""A real ``gearbox quickstart``, served by changing one line: database, login, pages, static files."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from integration.conftest import Sample, documented
from support.client import Answer
from support.ports import free_port
from support.processes import open_files
from support.server import Server, serve

GEARBOX = str(Path(sys.executable).parent / "gearbox")
RUNNERS = ("paster", "gearbox")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quickstarted project with its database set up; importable by PYTHONPATH, like after ``pip install
    -e``.
    """
    folder = tmp_path_factory.mktemp("quickstart")
    run([GEARBOX, "quickstart", "-s", "-a", "wiki"], folder)
    project = folder / "wiki"
    run([sys.executable, "-c", "from setuptools import setup; setup()", "--quiet", "egg_info"], project)
    run([GEARBOX, "setup-app", "-c", "development.ini"], project)
    return project


def run(command: list[str], folder: Path) -> None:
    """Run to the end, show what it said if it failed."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout


class Visitor:
    """Asks a site, keeps its cookies and follows its redirects, as a browser does."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.cookies: dict[str, str] = {}

    def ask(self, target: str, form: str | None = None) -> tuple[str, Answer]:
        """Where it ended, and the answer there."""
        for _ in range(10):
            fields = []
            if self.cookies:
                fields.append(("Cookie", "; ".join(f"{name}={value}" for name, value in self.cookies.items())))
            if form is not None:
                fields.append(("Content-Type", "application/x-www-form-urlencoded"))
            answer = self.server.get(
                target, *fields, method="GET" if form is None else "POST", body=(form or "").encode()
            )
            for cookie in answer.all("Set-Cookie"):
                name, _, value = cookie.partition(";")[0].partition("=")
                self.cookies[name] = value
            location = answer.field("Location")
            if location is None:
                return target, answer
            target, form = location.removeprefix("http://localhost"), None
        raise AssertionError(f"redirects without end, last to {target}")


def visit(server: Server) -> None:
    """Front page, static files, and what only a manager may see, before and after logging in."""
    visitor = Visitor(server)
    _, front = visitor.ask("/")
    assert front.status == 200
    assert b"TurboGears" in front.body
    style = server.get("/css/style.css")
    assert (style.status, style.field("Content-Type")) == (200, "text/css")
    logo = server.get("/img/turbogears_logo.png")
    assert logo.body.startswith(b"\x89PNG")
    assert server.get("/favicon.ico").status == 200
    where, page = visitor.ask("/demo/protected")
    assert where.startswith("/login")
    assert b"password" in page.body
    where, _ = visitor.ask("/login_handler?came_from=/demo/protected", "login=manager&password=wrong")
    assert where.startswith("/login")
    where, page = visitor.ask("/login_handler?came_from=/demo/protected", "login=manager&password=managepass")
    assert where == "/demo/protected"
    assert page.status == 200
    assert b"your user has the <code>manage</code> permission" in page.body
    _, todos = visitor.ask("/demo/add", "title=Feed+the+unicorn")
    assert b"Feed the unicorn" in todos.body
    _, todos = visitor.ask("/demo")
    assert b"Feed the unicorn" in todos.body  # whichever worker answers: it is in the database


@pytest.mark.parametrize("runner", RUNNERS)
def test_one_changed_line_serves_a_quickstarted_project(runner: str, project: Path) -> None:
    original = (project / "development.ini").read_text()
    port = free_port()
    changed = original.replace("use = egg:gearbox#wsgiref", "use = egg:gunicorn#main")
    assert changed != original
    ini = project / f"changed_{runner}.ini"
    # The port too, but only because other things may use 8080 on a machine that runs tests.
    ini.write_text(changed.replace("port = 8080", f"port = {port}"))
    with serve(ini, port=port, runner=runner, env={"PYTHONPATH": str(project)}) as server:
        visit(server)
        log = server.wait_for_log("Serving ")
        assert len([line for line in log.splitlines() if "Serving " in line]) == 1
        assert "INFO  [gunicorn.error]" in log  # the project's own layout: its root logger takes our lines


@pytest.mark.parametrize("runner", RUNNERS)
def test_overlay_serves_a_quickstarted_project_without_touching_it(
    runner: str, project: Path, sample: Callable[[str], Sample]
) -> None:
    before = (project / "development.ini").read_bytes()
    overlay = sample("turbogears.ini")
    ini = project / f"overlay_{runner}.ini"
    ini.write_text(overlay.ini.read_text())
    with serve(ini, port=overlay.port, runner=runner, env={"PYTHONPATH": str(project)}) as server:
        visit(server)
    assert (project / "development.ini").read_bytes() == before


@pytest.mark.parametrize("hooks", [(), ("pre_fork", "post_fork")])
def test_hooks_of_the_fork_safety_page_keep_connections_of_the_warm_up_from_workers(
    hooks: tuple[str, ...], project: Path
) -> None:
    (project / "wiki" / "hooks.py").write_text(documented("fork_safety.md", "hooks.py"))
    port = free_port()
    lines = [
        "use = egg:gunicorn#main",
        "workers = 2",
        "warmup = /demo",
        *(f"{one} = wiki.hooks.{one}" for one in hooks),
    ]
    text = (project / "development.ini").read_text()
    ini = project / f"warm_{len(hooks)}.ini"
    ini.write_text(text.replace("use = egg:gearbox#wsgiref", "\n".join(lines)).replace("port = 8080", f"port = {port}"))
    with serve(ini, port=port, env={"PYTHONPATH": str(project)}, ready=None) as server:
        log = server.wait_for_log("Serving ")
        assert "GET /demo: 200 in " in log
        workers = [process.pid for process in server.titled("unicorn: worker")]
        shared = [open_files(pid).count(str(project / "devdata.db")) for pid in workers]
        assert shared == ([0, 0] if hooks else [1, 1])
        if hooks:
            visit(server)
