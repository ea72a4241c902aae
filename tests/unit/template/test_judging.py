"""Everything that is wrong with a section is told at once, hooks and log format too, where code can be found."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from paste_unicorn.settings.resolve import Resolved, Source, resolve
from paste_unicorn.template.judging import settle_and_judge

Judge = Callable[..., list[str]]

BAD_HOOK = "nowhere.hook can't be imported: ModuleNotFoundError: No module named 'nowhere'"


@pytest.fixture
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Judge]:
    """`judge(workers="many")`: the problems of a section with these settings, without place."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    environ = dict(os.environ)

    def judge(**settings: str) -> list[str]:
        resolved: Resolved = resolve(settings, Source(None, "server:main"), {})
        return [str(problem).partition("] ")[2] for problem in settle_and_judge(resolved)]

    yield judge
    os.environ.clear()
    os.environ.update(environ)


def test_a_good_section_has_none(judge: Judge) -> None:
    assert judge(workers="2", access_log_format="combined", on_exit="gc.is_tracked") == []


def test_settings_hooks_and_format_are_told_together(judge: Judge) -> None:
    said = judge(wrokers="4", timeout="soon", post_fork="nowhere.hook", on_exit="os.sep", access_log_format="%(zz)s")
    assert len(said) == 5
    assert f"post_fork: {BAD_HOOK}" in said
    assert "on_exit: os.sep is not a function" in said
    assert any(line.startswith('access_log_format: "%(zz)s" is not an atom; known are ') for line in said)


def test_a_hook_is_looked_for_where_the_section_says(judge: Judge, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "hooks_in_lib.py").write_text(
        "import os\nassert os.environ['COLOUR'] == 'blue'\ndef post_fork(server): pass\n"
    )
    said = judge(
        workers="many", pythonpath=str(tmp_path / "lib"), raw_env="COLOUR=blue", post_fork="hooks_in_lib.post_fork"
    )
    assert len(said) == 2
    assert "post_fork: hooks_in_lib.post_fork must take 2 arguments: server, worker" in said


@pytest.mark.parametrize(
    "wrong",
    [
        {"chdir": "/no/such/folder"},
        {"chdirr": "/"},
        {"python_path": "/lib"},
        {"raw_env": "NAME"},
        {"config": "/no/such/file.py"},
    ],
)
def test_where_it_is_wrong_from_where_to_import_hooks_are_not_blamed(judge: Judge, wrong: dict[str, str]) -> None:
    (said,) = judge(post_fork="nowhere.hook", **wrong)
    assert said.startswith(f"{next(iter(wrong))}: ")


def test_a_folder_that_can_t_be_entered_is_a_problem_of_its_own(
    judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_entry(path: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "chdir", no_entry)
    said = judge(chdir=str(tmp_path), post_fork="nowhere.hook", workers="many")
    assert [line.partition(":")[0] for line in said] == ["workers", "chdir"]
    assert said[1] == f"chdir: {tmp_path}: Permission denied"
