"""What a warm-up makes of an application's answers."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from paste_unicorn.process.messages import LONGEST_REASON
from paste_unicorn.settings.surroundings import Surroundings
from paste_unicorn.settings.table.whole import Settings, settings_of
from paste_unicorn.settings.warmup import Warmup
from paste_unicorn.template.loading import LoadProblem
from paste_unicorn.template.warming import warm_up

Environ = dict[str, Any]
Start = Callable[..., Any]


def settings(warmup: str = "/", *, required: bool = True, **others: Any) -> Settings:
    requests = Warmup().parse(warmup, Surroundings("/", "/"))
    return settings_of({"warmup": requests, "warmup_required": required, **others})


def run(application: Callable[[Environ, Start], Iterable[bytes]], given: Settings) -> None:
    logs: Any = SimpleNamespace(error=logging.getLogger("warming"), error_fd=2)
    warm_up(application, given, logs)


class Answer:
    """An application that answers with this status, and counts what is done with its body."""

    def __init__(self, status: str = "200 OK", pieces: int = 3) -> None:
        self.status, self.pieces = status, pieces
        self.environs: list[Environ] = []
        self.given = self.closed = 0

    def __call__(self, environ: Environ, start_response: Start) -> Answer:
        self.environs.append(environ)
        start_response(self.status, [("Content-Type", "text/plain")])
        return self

    def __iter__(self) -> Iterator[bytes]:
        for _ in range(self.pieces):
            self.given += 1
            yield b"piece"

    def close(self) -> None:
        self.closed += 1


def test_nothing_is_run_and_said_without_a_warm_up(caplog: pytest.LogCaptureFixture) -> None:
    answer = Answer()
    run(answer, settings_of({}))
    assert (answer.environs, caplog.records) == ([], [])


@pytest.mark.parametrize(("method", "read"), [("GET", 3), ("HEAD", 2)])
def test_a_body_is_read_as_far_as_for_a_client_and_closed(method: str, read: int) -> None:
    answer = Answer()
    run(answer, settings(f"{method} /"))
    assert (answer.given, answer.closed) == (read, 1)
    (environ,) = answer.environs
    assert environ["wsgi.input"].read() == b""
    assert environ["paste_unicorn.warmup"] is True


def test_a_file_is_read_to_its_end_and_closed(tmp_path: Any) -> None:
    path = tmp_path / "page"
    path.write_bytes(b"x" * 100_000)
    file = path.open("rb")

    def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [])
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file)
        return wrapped

    run(application, settings())
    assert file.closed


def test_requests_run_one_after_the_other_and_are_told_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    answer = Answer()
    run(answer, settings("/a, HEAD /b?c=d\n OPTIONS http://site.example/"))
    assert [(one["REQUEST_METHOD"], one["PATH_INFO"]) for one in answer.environs] == [
        ("GET", "/a"),
        ("HEAD", "/b"),
        ("OPTIONS", "/"),
    ]
    (record,) = caplog.records
    assert record.levelname == "INFO"
    message = record.getMessage()
    for said in ("GET /a: 200 in ", "HEAD /b?c=d: 200 in ", "OPTIONS http://site.example/: 200 in "):
        assert said in message


@pytest.mark.parametrize(
    ("bind", "name", "host"),
    [
        ("127.0.0.1:8080", "127.0.0.1", "127.0.0.1:8080"),
        ("*:80", "0.0.0.0", "localhost"),
        ("0.0.0.0:8080", "0.0.0.0", "localhost:8080"),
        ("[::1]:8080", "::1", "[::1]:8080"),
        ("unix:/run/app.sock", "localhost", "localhost"),
        ("unix:/run/app.sock, site.example:80", "site.example", "site.example"),
    ],
)
def test_server_name_and_host_come_from_bind(bind: str, name: str, host: str) -> None:
    from paste_unicorn.settings.addresses import Bind

    answer = Answer()
    run(answer, settings(bind=Bind().parse(bind, Surroundings("/", "/"))))
    (environ,) = answer.environs
    assert (environ["SERVER_NAME"], environ["HTTP_HOST"]) == (name, host)


def raises(environ: Environ, start_response: Start) -> Iterable[bytes]:
    raise KeyError("missing page")


def leaves(environ: Environ, start_response: Start) -> Iterable[bytes]:
    raise SystemExit(3)


def raises_late(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response("200 OK", [])

    def body() -> Iterator[bytes]:
        yield b"beginning"
        raise KeyError("missing page")

    return body()


def says_nothing(environ: Environ, start_response: Start) -> Iterable[bytes]:
    return [b"no start_response"]


class RaisesInClose(Answer):
    def close(self) -> None:
        raise KeyError("missing page")


FAILURES = [
    (raises, ["the application raised an exception after ", "KeyError: 'missing page'", "in raises"]),
    (leaves, ["the application raised an exception after ", "SystemExit: 3"]),
    (raises_late, ["the application raised an exception after ", "KeyError: 'missing page'", "in body"]),
    (says_nothing, ["the application raised an exception after ", "returned without calling start_response"]),
    (RaisesInClose(), ["the application raised an exception in close() after ", "KeyError: 'missing page'"]),
    (Answer("500 Internal Server Error"), ["the application answered 500 Internal Server Error after "]),
    (Answer("599 Nothing Works"), ["the application answered 599 Nothing Works after "]),
]


@pytest.mark.parametrize(("application", "said"), FAILURES)
def test_a_failure_fails_the_load_and_says_why(application: Any, said: list[str]) -> None:
    with pytest.raises(LoadProblem) as caught:
        run(application, settings("HEAD /page"))
    text = str(caught.value)
    assert text.startswith(f"Warm-up request HEAD /page: {said[0]}")
    for part in said:
        assert part in text
    assert "gateway.py" not in text or application is says_nothing  # whose mistake shows only there


@pytest.mark.parametrize(("application", "said"), FAILURES)
def test_where_no_warm_up_is_required_a_failure_is_a_warning(
    application: Any, said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    run(application, settings("/page, /other", required=False))
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3
    assert all(part in caplog.records[0].getMessage() for part in said)


@pytest.mark.parametrize(("status", "level"), [("204 No Content", "INFO"), ("302 Found", "INFO"), ("404 X", "WARNING")])
def test_other_answers_fail_nothing(status: str, level: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    run(Answer(status, pieces=0), settings())
    assert [record.levelname for record in caplog.records] == [level]


def test_the_first_failure_is_the_last_request() -> None:
    answer = Answer("503 Later")
    with pytest.raises(LoadProblem):
        run(answer, settings("/, /"))
    assert len(answer.environs) == 1


def test_a_request_that_a_worker_would_refuse_fails() -> None:
    with pytest.raises(LoadProblem, match="a worker would refuse it: The request line is too long"):
        run(Answer(), settings("/" + "x" * 50, limit_request_line=30))


def test_the_reason_fits_into_a_message_and_keeps_its_beginning_and_its_end() -> None:
    def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
        raise KeyError("x" * 2 * LONGEST_REASON + "the end")

    with pytest.raises(LoadProblem) as caught:
        run(application, settings())
    text = str(caught.value)
    assert text.startswith("Warm-up request GET /: ")
    assert f'{__name__}.py", line' in text
    assert text.endswith("the end'")
    assert len(text) <= LONGEST_REASON


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_it_runs_with_the_rights_of_the_workers_user_and_gives_them_back() -> None:
    seen: list[tuple[int, int, list[int]]] = []

    def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
        seen.append((os.geteuid(), os.getegid(), os.getgroups()))
        raise KeyError

    before = (os.getresuid(), os.getresgid(), os.getgroups())
    with pytest.raises(LoadProblem):
        run(application, settings(user=65534, group=65533))
    assert seen == [(65534, 65533, [65533])]
    assert (os.getresuid(), os.getresgid(), os.getgroups()) == before
