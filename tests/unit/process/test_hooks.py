"""A hook can't hurt whoever calls it."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from paste_unicorn.process.hooks import Hooks, HookServer
from paste_unicorn.settings.hooks import HookError
from paste_unicorn.settings.table.whole import Settings

LOG = logging.getLogger("test.hooks")


def settings(**hooks: object) -> Settings:
    whole = Settings()
    return replace(whole, processes=replace(whole.processes, **hooks))  # type: ignore[arg-type]


def test_a_hook_is_called_with_what_it_is_given() -> None:
    seen: list[HookServer] = []

    def when_ready(server: HookServer) -> None:
        seen.append(server)

    hooks = Hooks(settings(when_ready=when_ready), LOG)
    hooks.call("when_ready", hooks.server((), workers=3))
    assert seen[0].num_workers == 3
    assert seen[0].cfg.workers == Settings().processes.workers


def test_a_hook_that_is_not_set_is_not_called() -> None:
    Hooks(settings(), LOG).call("when_ready", None)


def test_an_exception_is_logged_and_ends_that_hook_only(caplog: pytest.LogCaptureFixture) -> None:
    def when_ready(server: HookServer) -> None:
        raise RuntimeError("nobody is ready")

    hooks = Hooks(settings(when_ready=when_ready), LOG)
    hooks.call("when_ready", hooks.server(()))
    assert "when_ready" in caplog.text
    assert "nobody is ready" in caplog.text


def test_a_hook_that_can_t_be_imported_is_told_at_the_start() -> None:
    with pytest.raises(HookError, match=r"on_exit: nothing\.here"):
        Hooks(settings(on_exit="nothing.here"), LOG)
