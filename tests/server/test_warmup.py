"""The template runs the requests of `warmup` before it forks: the cost is paid once, a failure fails the load."""

from __future__ import annotations

import json
import os
import re
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.checks import ask_each_worker
from support.processes import is_alive
from support.server import Server, run_to_end, serve, wait_for

APP = "paste.app_factory = support.warmable:make_app"
RAW_ENV = {"raw_env": "IMPORTS={directory}/imports"}
INI = f"[server:main]\nuse = egg:gunicorn#main\nbind = 127.0.0.1:{{port}}\n%s\n[app:main]\n{APP}\n"


def asked(server: Server, target: str = "/") -> Any:
    return json.loads(server.get(target).body)


def answers_of_both(server: Server) -> list[dict[str, int]]:
    """What each of two workers says, by pid."""
    answers = [json.loads(answer.body) for answer in ask_each_worker(server).values()]
    assert len({answer["pid"] for answer in answers}) == 2
    return answers


def importers(server: Server) -> list[int]:
    return [int(line) for line in (server.directory / "imports").read_text().split()]


def template(server: Server, generation: int) -> int:
    (process,) = server.titled(f"unicorn: template [test.ini] g{generation}")
    return process.pid


def test_a_lazy_import_happens_once_in_the_template_and_is_shared_in_each_generation() -> None:
    with serve(settings={"workers": "2", "warmup": "GET /", **RAW_ENV}, app=APP, ready=None) as server:
        log = server.wait_for_log("[INFO] Serving ")
        assert "[INFO] Warmed up in " in log
        assert "(GET /: 200 in " in log
        first = template(server, 1)
        assert importers(server) == [first]
        assert [answer["imported_by"] for answer in answers_of_both(server)] == [first, first]
        server.signal(signal.SIGHUP)
        server.wait_for_log("Generation 2 serves")
        second = template(server, 2)
        assert importers(server) == [first, second]
        assert [answer["imported_by"] for answer in answers_of_both(server)] == [second, second]
        assert server.log_text().count("Warmed up in ") == 2


def test_without_a_warm_up_each_worker_pays_for_its_first_request() -> None:
    with serve(settings={"workers": "2", **RAW_ENV}, app=APP, ready=None) as server:
        server.wait_for_log("[INFO] Serving ")
        answers = answers_of_both(server)
        assert [answer["imported_by"] for answer in answers] == [answer["pid"] for answer in answers]
        assert len(importers(server)) == 2


AGENT = "paste_unicorn (warm-up)"
DIFFER = {"REMOTE_PORT", "PATH_INFO", "RAW_URI", "REQUEST_URI", "paste_unicorn.warmup"}


@pytest.mark.parametrize("prefix", ["", "/shop"])
def test_the_environ_is_a_worker_s_and_the_application_is_told(prefix: str) -> None:
    settings = {"workers": "2", "warmup": f"{prefix}/refuses", "url_prefix": prefix, "url_scheme": "https"}
    with serve(settings=settings, app=APP, ready=None) as server:
        server.wait_for_log("[INFO] Serving ")
        request = f"GET {prefix}/warmed HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nUser-Agent: {AGENT}\r\n\r\n"
        answer = json.loads(server.ask(request.encode()).body)
        server.signal(signal.SIGHUP)
        server.wait_for_log("Generation 2 serves")
        again = asked(server, f"{prefix}/warmed")
    (environ,), here = answer["environs"], answer["here"]
    assert environ.pop("paste_unicorn.warmup") == "True"
    assert "paste_unicorn.warmup" not in here
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (prefix, "/refuses")
    assert environ["RAW_URI"] == f"{prefix}/refuses"
    assert list(environ) == list(here)
    for one in (environ, here, again["environs"][0]):
        assert one.pop("gunicorn.uploads")
    assert {key: value for key, value in environ.items() if key not in DIFFER} == {
        key: value for key, value in here.items() if key not in DIFFER
    }
    again["environs"][0].pop("paste_unicorn.warmup")
    assert again["environs"] == [environ]  # an exec'ed template has no listeners yet, and knows it all the same


def test_a_url_gives_host_and_scheme_and_the_body_is_read_to_its_end() -> None:
    warmup = "GET https://site.example/warmed?a=1\n  HEAD /warmed"
    with serve(settings={"workers": "1", "warmup": warmup}, app=APP, ready="/warmed") as server:
        told = asked(server, "/warmed")
    first, second = told["environs"]
    assert (first["HTTP_HOST"], first["wsgi.url_scheme"]) == ("site.example", "https")
    assert (first["PATH_INFO"], first["QUERY_STRING"], first["RAW_URI"]) == ("/warmed", "a=1", "/warmed?a=1")
    assert (second["REQUEST_METHOD"], second["wsgi.url_scheme"]) == ("HEAD", "http")
    assert second["HTTP_HOST"] == f"127.0.0.1:{server.port}"
    assert told["closed"] >= 2


HOOK = "support.warmable.pre_fork"


@pytest.mark.parametrize(
    ("worker_class", "pre_fork"), [("sync", ""), ("gevent", ""), ("gevent", HOOK), ("eventlet", HOOK)]
)
def test_what_waits_in_the_template_does_not_wait_for_its_hub_in_workers(worker_class: str, pre_fork: str) -> None:
    settings = {"workers": "2", "worker_class": worker_class, "warmup": "/sleeps, /sleeps", "pre_fork": pre_fork}
    with serve(settings=settings, app=APP, ready="/warmed") as server:
        server.wait_for_log("[INFO] Serving ")
        _check_that_all_are_well(server)
        server.signal(signal.SIGHUP)
        server.wait_for_log("Generation 2 serves")
        _check_that_all_are_well(server)
        assert server.log_text().count("GET /sleeps: 200 in ") == 4


def _check_that_all_are_well(server: Server) -> None:
    """Workers can wait for a subprocess; and the template hears of their end, whoever took its signals meanwhile."""
    before = _workers(server)
    assert [answer.body for answer in ask_each_worker(server, "/sleeps").values()] == [b"slept\n"] * 2
    os.kill(before[0], signal.SIGKILL)
    wait_for(lambda: before[0] not in _workers(server) and len(_workers(server)) == 2, "a replacement")
    assert [answer.body for answer in ask_each_worker(server, "/sleeps").values()] == [b"slept\n"] * 2


def _workers(server: Server) -> list[int]:
    return [process.pid for process in server.titled("unicorn: worker")]


@pytest.mark.parametrize(
    ("warmup", "said"),
    [
        ("/raises", ["GET /raises: the application raised an exception after ", "RuntimeError: this page is out of"]),
        ("/, /fails", ["GET /fails: the application answered 500 Out Of Order after "]),
    ],
)
def test_a_start_whose_warm_up_fails_ends_with_exit_code_1(warmup: str, said: list[str], tmp_path: Path) -> None:
    settings = f"warmup = {warmup}\nraw_env = IMPORTS={tmp_path / 'imports'}"
    code, log = run_to_end(INI % settings + f"fail_if = {tmp_path}\n")
    assert code == 1
    assert re.search(r"The start failed: generation 1 could not be loaded\n\s+Warm-up request ", log)
    for text in said:
        assert text in log
    assert "paste_unicorn/wsgi" not in log  # the traceback is the application's
    assert "Serving " not in log


def test_a_warm_up_that_is_not_required_is_a_warning(tmp_path: Path) -> None:
    settings = {"workers": "1", "warmup": "/raises, /fails", "warmup_required": "false"}
    with serve(settings=settings, app=f"{APP}\nfail_if = {tmp_path}", ready="/warmed") as server:
        log = server.log_text()
    assert "[WARNING] Warm-up request GET /raises: the application raised an exception after " in log
    assert "RuntimeError: this page is out of order" in log
    assert "[WARNING] Warm-up request GET /fails: the application answered 500 Out Of Order after " in log
    assert log.count("The start goes on, since warmup_required is false") == 2
    assert "[WARNING] Warmed up in " in log
    assert "GET /raises: no answer in " in log


def test_an_answer_of_400_is_said_as_a_warning_and_fails_nothing() -> None:
    with serve(settings={"workers": "1", "warmup": "/refuses"}, app=APP, ready="/warmed") as server:
        assert "[WARNING] Warmed up in " in server.log_text()


def test_a_reload_whose_warm_up_fails_is_refused_and_one_that_is_corrected_is_not(tmp_path: Path) -> None:
    fail = tmp_path / "fail"
    with serve(settings={"workers": "2", "warmup": "/fails"}, app=f"{APP}\nfail_if = {fail}", ready="/fails") as server:
        server.wait_for_log("[INFO] Serving ")
        before = [process.pid for process in server.processes()]
        fail.touch()
        server.signal(signal.SIGHUP)
        log = server.wait_for_log("Correct it and send HUP again")
        assert "The reload failed: generation 2 could not be loaded; generation 1 goes on serving as it was" in log
        assert "Warm-up request GET /fails: the application answered 500 Out Of Order after " in log
        wait_for(lambda: [process.pid for process in server.processes()] == before, "nobody to have changed")
        assert server.get("/warmed").status == 200
        fail.unlink()
        server.signal(signal.SIGHUP)
        server.wait_for_log("Generation 3 serves")
        assert server.get("/fails").status == 200


def test_boot_timeout_ends_a_warm_up_that_hangs(tmp_path: Path) -> None:
    hang = tmp_path / "hang"
    settings = {"workers": "1", "warmup": "/hangs", "boot_timeout": "5"}
    with serve(settings=settings, app=f"{APP}\nfail_if = {hang}", ready="/warmed") as server:
        server.wait_for_log("[INFO] Serving ")
        hang.touch()
        server.signal(signal.SIGHUP)
        log = server.wait_for_log("in do_hangs")
        assert "The reload failed: generation 2 has not loaded within boot_timeout (5 s)" in log
        assert "tracebacks follow" in log
        assert "Fatal" not in log
        assert server.get("/warmed").status == 200


def test_a_warm_up_that_hangs_at_the_start_tells_in_what_and_is_tried_again(tmp_path: Path) -> None:
    hang = tmp_path / "hang"
    hang.touch()
    settings = {"workers": "1", "warmup": "/hangs", "boot_timeout": "5"}
    with serve(settings=settings, app=f"{APP}\nfail_if = {hang}", ready=None) as server:
        server.wait_for_log("in do_hangs")
        hang.unlink()
        assert "Fatal" not in server.wait_for_log("[INFO] Serving ")


def test_a_dead_template_is_replaced_by_one_that_warms_up_too() -> None:
    with serve(settings={"workers": "1", "warmup": "/", **RAW_ENV}, app=APP) as server:
        server.wait_for_log("[INFO] Serving ")
        os.kill(template(server, 1), signal.SIGKILL)
        server.wait_for_log("Template of generation 2")
        assert importers(server)[1:] == [template(server, 2)]


def test_threads_that_the_warm_up_started_are_named() -> None:
    with serve(settings={"workers": "1", "warmup": "/thread"}, app=APP, ready="/warmed") as server:
        log = server.log_text()
    assert "The application started threads during the warm-up (refresher); they don't exist in workers" in log


def test_a_child_that_the_application_forgets_to_end_becomes_no_second_template() -> None:
    with serve(settings={"workers": "1", "warmup": "/fork"}, app=APP, ready="/warmed") as server:
        server.wait_for_log("[INFO] Serving ")
        wait_for(lambda: len(server.titled("unicorn: template")) == 1, "one template")
        assert len(server.titled("unicorn: worker")) == 1
        assert server.log_text().count("Warmed up in ") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_what_a_warm_up_writes_belongs_to_the_workers_user(unprivileged_folder: Path) -> None:
    first, later = unprivileged_folder / "first", unprivileged_folder / "later"
    settings = {"workers": "1", "user": "nobody", "group": "nogroup", "warmup": f"/writes?{first}"}
    with serve(settings=settings, app=APP, ready="/warmed") as server:
        server.wait_for_log("[INFO] Serving ")
        assert (first.stat().st_uid, first.stat().st_gid) == (65534, 65534)
        assert server.get(f"/writes?{later}").body == b"65534\n"
        pid = template(server, 1)
        status = Path(f"/proc/{pid}/status").read_text()
        assert "Uid:\t0\t0\t0\t0" in status  # it stays root, and can make further workers somebody else
        assert "Gid:\t0\t0\t0\t0" in status
        everybody = [one.pid for one in server.processes()]
        os.kill(server.pid, signal.SIGKILL)  # the life pipe holds as before
        wait_for(lambda: not any(is_alive(one) for one in everybody), "all to be gone")
        server.popen.wait()


@pytest.fixture
def unprivileged_folder() -> Iterator[Path]:
    """A folder that anybody may write into; those of pytest only their owner may enter."""
    with tempfile.TemporaryDirectory(prefix="unicorn-test-") as folder:
        os.chmod(folder, 0o777)
        yield Path(folder)
