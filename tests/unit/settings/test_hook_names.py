"""Hooks are imported by their names, and judged by the number of their arguments; `cfg` shows them the settings."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from paste_unicorn.settings.addresses import Address
from paste_unicorn.settings.cfg import Cfg
from paste_unicorn.settings.hooks import ARGUMENTS, HookError, load
from paste_unicorn.settings.table.hooks import HookSettings
from paste_unicorn.settings.table.whole import settings_of
from paste_unicorn.settings.warmup import WarmupRequest


def test_every_hook_is_a_row() -> None:
    assert set(ARGUMENTS) == set(HookSettings.__dataclass_fields__)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_hook_with_the_right_number_of_arguments_is_taken(name: str) -> None:
    source = f"lambda {', '.join(ARGUMENTS[name])}: 'called'"
    function = load(eval(source), name)
    assert function(*ARGUMENTS[name]) == "called"


@pytest.mark.parametrize("name", sorted(set(ARGUMENTS) - {"ssl_context"}))
def test_a_hook_without_arguments_is_refused(name: str) -> None:
    with pytest.raises(HookError, match=rf"^{name}: .* must take {len(ARGUMENTS[name])} arguments: "):
        load(lambda: None, name)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_post_request_may_take_fewer_arguments(count: int) -> None:
    seen: list[tuple[Any, ...]] = []
    functions = {
        2: lambda worker, request: seen.append((worker, request)),
        3: lambda worker, request, environ: seen.append((worker, request, environ)),
        4: lambda worker, request, environ, response: seen.append((worker, request, environ, response)),
    }
    load(functions[count], "post_request")(1, 2, 3, 4)
    assert seen == [(1, 2, 3, 4)[:count]]


def test_a_method_of_an_object_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hooks_by_name.py").write_text(
        "class Hooks:\n    def on_exit(self, server): return server\nhooks = Hooks()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load("hooks_by_name:hooks.on_exit", "on_exit")("server") == "server"


@pytest.mark.parametrize(
    ("hook", "why"),
    [
        ("no_such_module.hook", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("os.no_such_hook", "AttributeError: "),
    ],
)
def test_a_hook_that_can_not_be_imported_says_why(hook: str, why: str) -> None:
    with pytest.raises(HookError) as caught:
        load(hook, "on_exit")
    assert str(caught.value).startswith(f"on_exit: {hook} can't be imported: {why}")


def test_a_module_that_ends_the_process_ends_only_its_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hooks_that_leave.py").write_text("raise SystemExit(3)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(HookError, match=r"hooks_that_leave\.on_exit can't be imported: SystemExit: 3"):
        load("hooks_that_leave.on_exit", "on_exit")


def test_a_hook_that_is_no_function_is_refused() -> None:
    with pytest.raises(HookError, match=r"^on_exit: os\.sep is not a function$"):
        load("os.sep", "on_exit")


class TestCfg:
    cfg = Cfg(
        settings_of(
            {
                "bind": (Address("tcp", "::1", 80),),
                "timeout": 30.0,
                "graceful_timeout": 0.5,
                "raw_env": (("A", "b"),),
                "user": 1,
                "warmup": (WarmupRequest("GET", "https", "site.example", "/"),),
            }
        )
    )

    def test_values_are_as_hooks_know_them(self) -> None:
        cfg = self.cfg
        assert (cfg.workers, cfg.bind, cfg.address) == (1, ["[::1]:80"], ["[::1]:80"])
        assert (cfg.timeout, type(cfg.timeout), cfg.graceful_timeout) == (30, int, 0.5)
        assert (cfg.env, cfg.uid, cfg.gid) == ({"A": "b"}, 1, None)
        assert cfg.warmup == ["GET https://site.example/"]

    def test_settings_without_effect_have_the_value_that_holds(self) -> None:
        assert self.cfg.preload_app is True

    def test_other_names_are_no_attributes(self) -> None:
        with pytest.raises(AttributeError, match="no setting 'wrokers'"):
            _ = self.cfg.wrokers
        assert copy.copy(self.cfg).workers == 1
