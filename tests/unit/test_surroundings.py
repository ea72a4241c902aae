"""What is recorded of a load, each in an interpreter of its own, since the record is made at import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

INI = """\
[DEFAULT]
colour = blue
[app:main]
paste.app_factory = factory_of_the_test:make_app
[app:site]
paste.app_factory = factory_of_the_test:make_app
[pipeline:through]
pipeline = filter site
[filter:filter]
paste.filter_factory = factory_of_the_test:make_filter
[composite:both]
use = egg:Paste#urlmap
/ = site
[server:main]
paste.server_runner = factory_of_the_test:server
[server:other]
paste.server_runner = factory_of_the_test:server
"""
FACTORY = """\
def make_app(global_conf, **local_conf):
    return lambda environ, start_response: []
def make_filter(global_conf, **local_conf):
    return lambda app: app
def server(app, global_conf, **local_conf):
    from dataclasses import asdict
    from paste_unicorn.surroundings import look_around
    around = look_around(app, global_conf)
    import json
    recipes = [asdict(recipe) if recipe else None for recipe in (around.recipe, around.server)]
    print(json.dumps([recipes[0], around.recipe_is_guessed, around.section, recipes[1]]))
"""
# As the runners do: the server first, whose entry point imports our module, then the application.
RUNNER = """\
from paste.deploy import loadapp, loadserver
{before}
server = loadserver({uri!r}, name={server!r}, relative_to={cwd!r}, global_conf={variables!r})
{between}
app = loadapp({uri!r}, name={name!r}, relative_to={cwd!r}, global_conf={variables!r})
server({app})
"""
IMPORT = "import paste_unicorn.surroundings"


def record(
    tmp_path: Path, *, uri: str = "config:test.ini", name: str | None = None, server: str | None = None,
    before: str = "", between: str = IMPORT, app: str = "app", variables: dict[str, str] | None = None, ini: str = INI,
) -> list[object]:  # fmt: skip
    (tmp_path / "test.ini").write_text(ini)
    (tmp_path / "factory_of_the_test.py").write_text(FACTORY)
    code = RUNNER.format(
        uri=uri, name=name, server=server, cwd=str(tmp_path), before=before, between=between, app=app,
        variables=variables or {},
    )  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: list[object] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", [None, "main", "site", "through"])
def test_uri_name_and_folder_are_those_of_the_load(tmp_path: Path, name: str | None) -> None:
    recipe, guessed, _, _ = record(tmp_path, name=name)
    assert recipe == {"uri": "config:test.ini", "name": name, "relative_to": str(tmp_path), "variables": {}}
    assert not guessed


def test_variables_are_those_of_the_command_line_without_the_default_section(tmp_path: Path) -> None:
    recipe, *_ = record(tmp_path, variables={"port": "80"})
    assert isinstance(recipe, dict)
    assert recipe["variables"] == {"port": "80"}


@pytest.mark.parametrize(
    ("uri", "server", "section"),
    [
        ("config:test.ini", None, "server:main"),
        ("config:test.ini", "other", "server:other"),
        ("config:test.ini#other", "main", "server:main"),
    ],
)
def test_the_server_s_section_is_known(tmp_path: Path, uri: str, server: str | None, section: str) -> None:
    # Imported before the server is loaded: its call is recorded. (The import within it is seen under real runners.)
    variables = {"port": "80"}
    _, _, found, recipe = record(
        tmp_path, uri=uri, server=server, name="site", before=IMPORT, between="", variables=variables
    )
    assert found == section
    assert recipe == {"uri": uri, "name": server, "relative_to": str(tmp_path), "variables": variables}


def test_the_application_is_found_among_others_that_were_loaded(tmp_path: Path) -> None:
    another = "another = loadapp('config:test.ini', name='main', relative_to='.', global_conf={'x': 'y'})"
    recipe, *_ = record(tmp_path, name="site", between=f"{IMPORT}\n{another}")
    assert isinstance(recipe, dict)
    assert recipe["name"] == "site"


def test_an_application_that_nobody_loaded_is_guessed_from_the_ini(tmp_path: Path) -> None:
    recipe, guessed, _, _ = record(tmp_path, app="lambda environ, start_response: []")
    assert guessed
    assert isinstance(recipe, dict)
    assert (recipe["uri"], recipe["name"]) == (f"config:{tmp_path}/test.ini", "main")


LOOK = """\
import json, sys, sysconfig
from paste_unicorn.surroundings import look_around
real = sys.argv[2]
sysconfig.get_path = lambda name: real + "/venv/lib"
sys.path[:] = [real, real + "/lib", real + "0", real + "/venv/lib/packages", "", "/lib"]
around = look_around(None, {"__file__": sys.argv[1]})
print(json.dumps([around.cwd, around.ini_path, around.sys_path, around.recipe.uri, around.recipe.relative_to]))
"""


@pytest.mark.parametrize(
    ("pwd", "ini", "name"),
    [
        ("{current}", "prod.ini", "current"),
        ("{current}/", "{real}/prod.ini", "current"),
        ("{current}", "/etc/prod.ini", "current"),
        ("current", "prod.ini", "release"),
        ("{folder}", "prod.ini", "release"),
        ("{folder}/nowhere", "prod.ini", "release"),
        ("", "{current}/prod.ini", "current"),
        ("{folder}", "{current}/etc/prod.ini", "current"),
        ("{real}", "{current}/prod.ini", "release"),
        ("{real}", "prod.ini", "release"),
    ],
)
def test_the_folder_of_the_start_has_the_name_by_which_it_was_entered(
    tmp_path: Path, pwd: str, ini: str, name: str
) -> None:
    folder = tmp_path.resolve()
    real, current = folder / "release", folder / "current"
    real.mkdir()
    current.symlink_to(real)
    names = {"folder": folder, "real": real, "current": current}
    done = subprocess.run(
        [sys.executable, "-c", LOOK, ini.format(**names), str(real)], cwd=real, capture_output=True, text=True,
        check=False, env={**os.environ, "PWD": pwd.format(**names)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    cwd, ini_path, sys_path, uri, relative_to = json.loads(done.stdout)
    named = folder / name
    assert cwd == relative_to == str(named)
    assert ini_path == (ini.format(**names) if current.name in ini or "/etc/prod" in ini else f"{named}/prod.ini")
    assert uri == f"config:{ini_path}"
    assert sys_path == [str(named), f"{named}/lib", f"{real}0", f"{real}/venv/lib/packages", "", "/lib"]


PID_FILES = """\
import atexit, os, sys
from types import ModuleType
from paste_unicorn import surroundings

def pid_file(path, pid=None):
    with open(path, "w") as file:
        file.write(str(pid or os.getpid()))

pid_file("own.pid")
pid_file("of-another.pid", 1)
pid_file("of-an-option.pid")
pid_file("paster.pid")
open("no.pid", "w").write("nonsense")
open("large.pid", "w").write(" " * 100)
sys.argv = ["paster", "serve", "test.ini", "own.pid", "of-another.pid", "--pid-file=of-an-option.pid", "no.pid",
            "large.pid", "missing.pid", "", "own.pid"]
print([os.path.basename(path) for path in surroundings.pid_files()])

class Command:  # gearbox registers a method of its own
    def _remove_pid_file(self):
        print("gearbox removes it")
    def run(self):
        atexit.register(self._remove_pid_file)
        surroundings.keep_pid_files()

serve = sys.modules["paste.script.serve"] = ModuleType("paste.script.serve")
serve._remove_pid_file = lambda *arguments: print("paster removes it")
atexit.register(print, "somebody else's is kept")
atexit.register(serve._remove_pid_file, os.getpid(), "own.pid", 0)
Command().run()
"""


def test_pid_files_of_the_runner_are_those_that_name_us_and_can_be_left_to_another_arbiter(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PID_FILES], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["['own.pid', 'of-an-option.pid', 'paster.pid']", "somebody else's is kept"]
