"""What a process is called, and whose it is."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from paste_unicorn.process.identity import IdentityProblem, allow_files, check_user, settle, title_name
from paste_unicorn.settings.table.processes import ProcessSettings

SETTINGS = ProcessSettings()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_title_holds_though_the_environment_was_changed_before() -> None:
    code = (
        "import os\nfrom paste_unicorn.process.identity import set_title\n"
        "os.environ['FIRST'] = 'something longer than before'\n"
        "set_title('worker 3', 'prod.ini', 2)\nprint(open('/proc/self/cmdline').read())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"FIRST": "x", **os.environ}, capture_output=True, text=True, check=True
    )
    assert done.stdout.rstrip("\0\n") == "unicorn: worker 3 [prod.ini] g2"


@pytest.mark.parametrize(
    ("proc_name", "ini", "name"),
    [(None, "/etc/prod.ini", "prod.ini"), ("shop", "/etc/prod.ini", "shop"), (None, None, "no ini")],
)
def test_the_name_in_titles(proc_name: str | None, ini: str | None, name: str) -> None:
    assert title_name(replace(SETTINGS, proc_name=proc_name), ini) == name


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(IdentityProblem, match=r"chdir = .*nowhere: No such file"):
        settle(replace(SETTINGS, chdir=str(tmp_path / "nowhere")))


@pytest.mark.parametrize(("setting", "value"), [("user", 4711), ("group", 4711)])
def test_who_is_not_root_can_t_become_somebody_else(setting: str, value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(IdentityProblem, match=f"{setting} = {value}"):
        check_user(replace(SETTINGS, **{setting: value}))  # type: ignore[arg-type]


def test_who_is_not_root_may_name_himself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    check_user(replace(SETTINGS, user=1000, group=os.getegid()))


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "set_to"),
    [
        (1024, 4096, 1000, None),
        (1024, 4096, 2000, (2000, 4096)),
        (1024, 1500, 2000, (1500, 1500)),
        (1024, resource.RLIM_INFINITY, 2000, (2000, resource.RLIM_INFINITY)),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 2000, None),
    ],
)
def test_the_limit_of_open_files_is_raised_as_far_as_wanted(
    soft: int, hard: int, wanted: int, set_to: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[object] = []
    monkeypatch.setattr(resource, "getrlimit", lambda which: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: calls.append(limits))
    allow_files(wanted)
    assert calls == ([] if set_to is None else [set_to])
