"""The server's settings, read once more: what the file says now, with what was said at the start."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from paste_unicorn.process.messages import Origin, Recipe
from paste_unicorn.template.again import read_local_conf, resolve_again, settle_again
from paste_unicorn.template.loading import LoadProblem

INI = """\
[DEFAULT]
number = 3
[server:main]
use = egg:gunicorn#main
workers = %(number)s
bind = 127.0.0.1:%(port)s
[server:other]
use = main
workers = 7
"""


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[Origin]:
    """Where the start of `paster serve test.ini port=8001` came from."""
    ini = tmp_path / "test.ini"
    ini.write_text(INI)
    environ, cwd, mask = dict(os.environ), os.getcwd(), os.umask(0o022)
    os.umask(mask)
    yield Origin(
        recipe=None,
        server=Recipe("config:test.ini", None, str(tmp_path), {"port": "8001"}),
        ini_path=str(ini),
        section="server:main",
        local_conf={"workers": "1"},
        cwd=str(tmp_path),
        umask=mask,
        environ={},
        sys_path=(),
    )
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(cwd)
    os.umask(mask)


def write(origin: Origin, text: str) -> None:
    assert origin.ini_path is not None
    Path(origin.ini_path).write_text(text)


def test_the_texts_are_those_of_the_file_now_with_the_variables_of_then(origin: Origin) -> None:
    assert read_local_conf(origin) == {"workers": "3", "bind": "127.0.0.1:8001"}
    write(origin, INI.replace("number = 3", "number = 5"))
    assert read_local_conf(origin)["workers"] == "5"
    assert origin.server is not None
    assert origin.server.variables == {"port": "8001"}  # PasteDeploy writes into what it is given


def test_a_section_that_uses_another_one_is_read_with_it(origin: Origin) -> None:
    assert origin.server is not None
    other = replace(origin, server=replace(origin.server, name="other"))
    assert read_local_conf(other) == {"workers": "7", "bind": "127.0.0.1:8001"}


def test_where_there_is_no_file_the_texts_of_the_start_stay(origin: Origin) -> None:
    assert read_local_conf(replace(origin, server=None)) == {"workers": "1"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[server:main\n", "can't be read again"),
        ("[app:main]\n", "can't be read again"),
        ("[server:main]\nuse = egg:gunicorn#main\nworkers = %(nobody)s\n", "nobody"),
        ("[server:main]\nuse = egg:Paste#http\n", "names another server than egg:gunicorn#main now"),
    ],
)
def test_a_section_that_can_t_be_read_any_more_says_why(origin: Origin, text: str, why: str) -> None:
    write(origin, text)
    with pytest.raises(LoadProblem, match=r"\[server:main\]") as raised:
        read_local_conf(origin)
    assert why in str(raised.value)


def test_a_file_that_is_gone_is_a_problem_of_the_load(origin: Origin) -> None:
    assert origin.ini_path is not None
    Path(origin.ini_path).unlink()
    with pytest.raises(LoadProblem, match="can't be read again"):
        read_local_conf(origin)


def test_the_process_is_made_what_the_settings_say(origin: Origin, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    local_conf = {"workers": "2", "chdir": str(tmp_path / "there"), "umask": "0o027", "raw_env": "COLOUR=blue"}
    settings = settle_again(resolve_again(origin, local_conf))
    assert settings.processes.workers == 2
    assert os.getcwd() == str(tmp_path / "there")
    assert os.environ["COLOUR"] == "blue"
    mask = os.umask(0o022)
    assert mask == 0o027


@pytest.mark.parametrize(
    ("local_conf", "reasons"),
    [
        ({"wrokers": "2", "timeout": "soon"}, ['did you mean "workers"', "timeout"]),
        ({"chdir": "/nowhere/at/all"}, ["chdir", "/nowhere/at/all"]),
        ({"post_fork": "nothing.here"}, ["post_fork", "nothing.here"]),
    ],
)
def test_all_that_is_wrong_with_settings_is_a_problem_of_the_load(
    origin: Origin, local_conf: dict[str, str], reasons: list[str]
) -> None:
    with pytest.raises(LoadProblem) as raised:
        settle_again(resolve_again(origin, local_conf))
    for reason in reasons:
        assert reason in str(raised.value)
