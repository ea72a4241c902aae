"""From a recipe to the application."""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from paste_unicorn.process.messages import Origin, Recipe
from paste_unicorn.template.loading import (
    LoadProblem,
    load_application,
    origin_of_now,
    restore_interpreter,
    threads_of_the_application,
)

INI = """\
[DEFAULT]
colour = blue
[app:main]
paste.app_factory = {module}:make_app
given = %(thing)s
[app:broken]
paste.app_factory = {module}:make_nothing
[app:leaving]
paste.app_factory = {module}:leave
"""
FACTORY = """\
def make_app(global_conf, **local_conf):
    return global_conf["colour"], local_conf
def make_nothing(global_conf):
    raise RuntimeError("out of order")
def leave(global_conf):
    raise SystemExit(3)
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    module = f"factories_{abs(hash(tmp_path))}"
    (tmp_path / f"{module}.py").write_text(FACTORY)
    (tmp_path / "test.ini").write_text(INI.format(module=module))
    monkeypatch.syspath_prepend(str(tmp_path))
    return Recipe("config:test.ini", None, str(tmp_path), {"thing": "nail"})


def test_the_application_is_loaded_with_the_recipe_s_arguments(recipe: Recipe) -> None:
    assert load_application(recipe) == ("blue", {"given": "nail"})
    assert recipe.variables == {"thing": "nail"}  # PasteDeploy writes into what it is given


@pytest.mark.parametrize(
    ("name", "reason"), [("broken", "out of order"), ("leaving", "SystemExit: 3"), ("missing", "No section 'missing'")]
)
def test_an_application_that_can_t_be_loaded_says_why(recipe: Recipe, name: str, reason: str) -> None:
    with pytest.raises(LoadProblem, match=reason):
        load_application(replace(recipe, name=name))


def test_import_path_directory_and_mask_are_those_of_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", "/of/the/exec")
    monkeypatch.chdir(tmp_path.parent)
    origin = Origin(None, None, None, "server:main", {}, str(tmp_path), 0o027, ("", "/a"), {})
    mask = os.umask(0)
    try:
        restore_interpreter(origin, None)
        assert os.umask(mask) == 0o027
    finally:
        os.umask(mask)
    assert os.getcwd() == str(tmp_path)
    assert sys.path == ["", "/a"]
    assert "PYTHONPATH" not in os.environ
    restore_interpreter(replace(origin, umask=mask), "/b")
    assert os.environ["PYTHONPATH"] == "/b"


def test_a_folder_of_the_start_that_is_gone_is_a_problem_of_the_load(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    origin = Origin(None, None, None, "server:main", {}, str(tmp_path / "gone"), 0o022, ("",), {})
    with pytest.raises(LoadProblem, match=f"is gone .{tmp_path}/gone: No such file or directory"):
        restore_interpreter(origin, None)


@pytest.mark.parametrize(
    ("uri", "is_enough"),
    [
        ("config:{folder}/etc/prod.ini", True),
        ("config:{folder}/etc/prod.ini#site", True),
        ("config:prod.ini", False),
        ("config:../etc/prod.ini", False),
    ],
)
def test_the_ini_s_folder_is_taken_for_one_that_is_gone_where_the_ini_does_not_need_that(
    tmp_path: Path, uri: str, is_enough: bool
) -> None:
    ini = tmp_path / "etc" / "prod.ini"
    ini.parent.mkdir()
    ini.touch()
    release = tmp_path / "release"
    recipe = Recipe(uri.format(folder=tmp_path), None, str(release), {})
    origin = Origin(recipe, recipe, str(ini), "server:main", {}, str(release), 0o022, (), {})
    assert origin_of_now(origin) == (replace(origin, cwd=str(ini.parent)) if is_enough else origin)
    release.mkdir()
    assert origin_of_now(origin) is origin


def test_threads_of_the_application_are_named() -> None:
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="scheduler")
    thread.start()
    assert "scheduler" in threads_of_the_application()
    end.set()
    thread.join()
