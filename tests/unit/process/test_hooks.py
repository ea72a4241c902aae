"""A hook can't hurt whoever calls it."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from dataclasses import replace

import pytest

from paste_unicorn.process.hooks import Hooks, HookServer
from paste_unicorn.settings.hooks import HookError
from paste_unicorn.settings.table.whole import Settings

LOG = logging.getLogger("test.hooks")
TRACE = "Traceback (most recent call last):"


def settings(**hooks: object) -> Settings:
    whole = Settings()
    return replace(whole, processes=replace(whole.processes, **hooks))  # type: ignore[arg-type]


def raising(error: BaseException) -> Callable[..., None]:
    def hook(*given: object) -> None:
        raise error

    return hook


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


class FromOutside(BaseException):
    pass


@pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit(), FromOutside()], ids=repr)
def test_whatever_a_hook_raises_ends_that_hook_only(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    Hooks(settings(child_exit=raising(error)), LOG).call("child_exit", None, None)
    assert f"The hook child_exit raised an exception; the server goes on\n{TRACE}" in caplog.text
    assert type(error).__name__ in caplog.text


def test_what_comes_into_a_hook_from_outside_goes_on_to_its_caller(caplog: pytest.LogCaptureFixture) -> None:
    hooks = Hooks(settings(child_exit=raising(FromOutside())), LOG, (FromOutside,))
    with pytest.raises(FromOutside):
        hooks.call("child_exit", None, None)
    assert not caplog.text


def test_ctrl_c_is_a_hook_s_own_exception_where_the_signal_has_another_handler(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hooks = Hooks(settings(child_exit=raising(KeyboardInterrupt())), LOG)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever is started behind a shell ignores it
    try:
        with pytest.raises(KeyboardInterrupt):
            hooks.call("child_exit", None, None)
        assert not caplog.text
        signal.signal(signal.SIGINT, lambda number, frame: None)
        hooks.call("child_exit", None, None)
    finally:
        signal.signal(signal.SIGINT, before)
    assert "KeyboardInterrupt" in caplog.text


@pytest.mark.parametrize("name", ["pre_fork", "post_fork"])
def test_system_exit_where_a_worker_starts_is_for_whoever_starts_it(name: str) -> None:
    with pytest.raises(SystemExit):
        Hooks(settings(**{name: raising(SystemExit(3))}), LOG).call(name, None, None)


def test_system_exit_in_on_starting_refuses_the_start(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(HookError, match="on_starting: the hook refuses the start, by SystemExit: not today"):
        Hooks(settings(on_starting=raising(SystemExit("not today"))), LOG).begin()
    Hooks(settings(on_starting=raising(ValueError("not so bad"))), LOG).begin()
    assert "not so bad" in caplog.text


def test_a_hook_that_can_t_be_imported_is_told_at_the_start() -> None:
    with pytest.raises(HookError, match=r"on_exit: nothing\.here"):
        Hooks(settings(on_exit="nothing.here"), LOG)
