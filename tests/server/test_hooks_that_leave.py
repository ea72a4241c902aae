"""A hook that raises SystemExit ends nothing but itself; `on_starting` refuses the start by it."""

from __future__ import annotations

import signal

from support.client import request_bytes
from support.processes import is_alive, send_signal
from support.server import run_to_end, serve, wait_for

APP = "paste.app_factory = support.supervised:make_app"
INI = f"[server:main]\nuse = egg:gunicorn#main\nbind = 127.0.0.1:{{port}}\n%s\n[app:main]\n{APP}\n"
LEAVES = "support.supervised.leaves"


def said(log: str, hook: str) -> bool:
    return f"The hook {hook} raised an exception; the server goes on" in log


def test_the_arbiter_serves_on_whatever_its_hooks_do() -> None:
    names = ("when_ready", "nworkers_changed", "child_exit", "on_reload", "pre_exec", "on_exit")
    with serve(settings={"workers": "1", **dict.fromkeys(names, LEAVES)}, app=APP) as server:
        server.wait_for_log("The hook when_ready raised")
        server.signal(signal.SIGTTIN)
        wait_for(lambda: len(server.titled("unicorn: worker")) == 2, "a second worker")
        pid = int(server.get("/pid").body)
        send_signal(pid, signal.SIGKILL)
        server.wait_for_log("The hook child_exit raised")
        wait_for(lambda: len(server.titled("unicorn: worker")) == 2, "the replacement")
        server.signal(signal.SIGHUP)
        server.wait_for_log("Generation 2 serves (HUP)", 20.0)
        server.signal(signal.SIGUSR2)
        server.wait_for_log("TERM ends this one", 20.0)
        for arbiter in server.titled("unicorn: arbiter"):
            send_signal(arbiter.pid, signal.SIGTERM)
        assert server.wait() == 0
        wait_for(lambda: not server.processes(), "all to be gone")
        log = server.log_text()
        assert [name for name in names if not said(log, name)] == []
        assert log.count("[INFO] Stopped (TERM)") == 2


def test_a_request_is_answered_whatever_is_called_around_it(worker_class: str) -> None:
    hooks = dict.fromkeys(("pre_request", "post_request", "worker_int", "worker_exit"), LEAVES)
    settings = {"workers": "1", "worker_class": worker_class, **hooks}
    with serve(settings=settings, app=APP) as server, server.connect() as client:
        server.wait_for_log("[INFO] Serving ")
        pids = set()
        for _ in range(2):
            client.send(request_bytes("GET", "/pid"))
            pids.add(int(client.read_answer().body))
        (pid,) = pids
        assert said(server.log_text(), "pre_request")
        assert said(server.wait_for_log("The hook post_request raised"), "post_request")
        send_signal(pid, signal.SIGQUIT)
        wait_for(lambda: not is_alive(pid), "the worker to be gone")
        log = server.wait_for_log("The hook worker_exit raised")
        assert said(log, "worker_int")
        assert said(log, "worker_exit")
        assert "A fault" not in log
        assert "ends by a fault" not in log


def test_on_starting_refuses_the_start() -> None:
    code, log = run_to_end(INI % f"on_starting = {LEAVES}")
    assert code == 1
    said = log.splitlines()[-1]
    assert said == "test.ini:4 [server:main] on_starting: the hook refuses the start, by SystemExit: it leaves"
    assert "Serving" not in log
