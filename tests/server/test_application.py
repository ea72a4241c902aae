"""PEP 3333: start_response, write(), exc_info, iterables of every kind, and close() once, however it ends."""

from __future__ import annotations

from typing import Any

import pytest
from support.board import requests_that_run
from support.checks import check_closed_or_in_step, check_still_in_step, events, is_cut, run_script, script
from support.client import request_bytes
from support.server import Server, wait_for

PLAIN = ["Content-Type", "text/plain"]
KINDS = ["list", "tuple", "generator", "iterator", "sequence", "custom", "sized", "late"]
WITH_CLOSE = ["generator", "custom", "sized", "late"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("blocks", [[], ["one"], ["one", "two"], [str(n) for n in range(100)]], ids=len)
@pytest.mark.parametrize("valid", [False, True], ids=["plain", "validated"])
def test_iterable_of_every_kind_is_sent_whole(server: Server, kind: str, blocks: list[str], valid: bool) -> None:
    with server.connect() as client:
        client.send(request_bytes("GET", script(valid=valid, kind=kind, blocks=blocks)))
        answer = client.read_answer()
        assert (answer.status, answer.body) == (200, "".join(blocks).encode())
        check_still_in_step(client)


@pytest.mark.parametrize(
    ("kind", "returned"),
    [
        ("string", "an object of type bytes"),
        ("characters", "an object of type str"),
        ("mapping", "an object of type dict"),
        ("number", "an object of type int"),
        ("none", "None"),
    ],
)
def test_what_is_no_iterable_of_bytes_is_answered_with_500_and_a_sentence_says_what_to_return(
    server: Server, log_start: int, kind: str, returned: str
) -> None:
    """It is the application's mistake, and no frame of the traceback is the application's."""
    assert run_script(server, kind=kind).status == 500
    log = server.wait_for_log("(called was ", after=log_start)
    assert (
        f'GatewayError: the application returned {returned}; it must return an iterable of bytes, for example [b"..."]'
        " (called was support.apps.application)\n"
    ) in log
    assert "The above exception" not in log
    assert "During handling" not in log


@pytest.mark.parametrize("blocks", [["one"], ["one", "two"]], ids=len)
def test_blocks_that_are_no_bytes_are_answered_with_500_and_say_whose_they_are(
    server: Server, log_start: int, blocks: list[str]
) -> None:
    assert run_script(server, kind="text", blocks=blocks).status == 500
    log = server.wait_for_log("(called was ", after=log_start)
    assert "a part of the body is of type str; it must be bytes (called was support.apps.application)\n" in log


def test_block_that_is_no_bytes_after_the_head_cuts_the_connection(server: Server, log_start: int) -> None:
    with server.connect() as client:
        client.send(request_bytes("GET", script(kind="generator", blocks=["a", "b"], at="then", error="ValueError")))
        assert is_cut(client)
    server.wait_for_log("GET /answer?", after=log_start)


def test_block_leaves_before_the_next_one_is_made(server: Server) -> None:
    gate = server.directory / "gate-of-two-parts"
    with server.connect() as client:
        client.send(request_bytes("GET", f"/two-parts?path={gate}"))
        assert client.read_head()[0] == 200
        assert (client.read_line(), client.read_exactly(6)) == (b"4\r\n", b"one \r\n")
        gate.touch()
        assert client.read_exactly(13) == b"3\r\ntwo\r\n0\r\n\r\n"


# -- write() -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("write", "blocks"), [(["a"], []), (["a", "b"], ["c"]), (["", "a", ""], ["", "b"]), ([""], [])]
)
@pytest.mark.parametrize("kind", ["list", "generator", "custom"])
@pytest.mark.parametrize("valid", [False, True], ids=["plain", "validated"])
def test_written_blocks_come_before_the_iterable(
    server: Server, write: list[str], blocks: list[str], kind: str, valid: bool
) -> None:
    with server.connect() as client:
        client.send(request_bytes("GET", script(valid=valid, kind=kind, write=write, blocks=blocks)))
        assert client.read_answer().body == "".join(write + blocks).encode()
        check_still_in_step(client)


def test_written_block_leaves_at_once(server: Server) -> None:
    with server.connect() as client:
        client.send(request_bytes("POST", "/write-then-read", [("Content-Length", "5")]))
        client.send(b"h")  # the application waits for the rest, or runs when it is there
        client.send(b"ello")
        assert client.read_answer().body == b"before hello"


def test_write_with_a_length_is_not_chunked(server: Server) -> None:
    answer = run_script(server, write=["abc"], blocks=["def"], fields=[PLAIN, ["Content-Length", "6"]])
    assert (answer.framing, answer.body) == ("sized", b"abcdef")


# -- start_response ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_without_start_response_the_answer_is_500(server: Server, log_start: int, kind: str) -> None:
    assert run_script(server, status=None, kind=kind).status == 500
    server.wait_for_log("GET /answer?", after=log_start)


def test_start_response_again_without_exc_info_is_an_error(server: Server, log_start: int) -> None:
    answer = run_script(server, again=["201 Created", [PLAIN]], info="nothing")
    assert answer.status == 500
    server.wait_for_log("GET /answer?", after=log_start)


@pytest.mark.parametrize("kind", ["list", "generator", "custom"])
@pytest.mark.parametrize("valid", [False, True], ids=["plain", "validated"])
def test_exc_info_replaces_the_head_before_it_is_sent(server: Server, kind: str, valid: bool) -> None:
    told = {"again": ["503 Sorry", [PLAIN, ["X-New", "1"]]], "fields": [PLAIN, ["X-Old", "1"]], "kind": kind}
    answer = server.get(script(valid=valid, **told))
    assert (answer.status, answer.reason, answer.body) == (503, "Sorry", b"hello\n")
    assert (answer.field("X-New"), answer.field("X-Old")) == ("1", None)


def test_exc_info_replaces_a_length_too(server: Server) -> None:
    told = {"again": ["500 Sorry", [PLAIN]], "fields": [PLAIN, ["Content-Length", "1000"]]}
    answer = run_script(server, kind="generator", **told)
    assert (answer.status, answer.body, answer.all("Content-Length")) in [
        (500, b"hello\n", []),
        (500, b"hello\n", ["6"]),
    ]


def test_exc_info_after_the_head_was_sent_raises_what_it_holds(server: Server, log_start: int) -> None:
    told: dict[str, Any] = {"again": ["503 Sorry", [PLAIN]], "again_at": "first", "kind": "generator"}
    with server.connect() as client:
        client.send(request_bytes("GET", script(blocks=["one", "two"], **told)))
        assert is_cut(client)
    log = server.wait_for_log("the application's own trouble", after=log_start)
    assert "LookupError" in log


def test_exc_info_after_write_raises_what_it_holds(server: Server, log_start: int) -> None:
    with server.connect() as client:
        client.send(request_bytes("GET", script(write=["one"], again=["503 Sorry", [PLAIN]])))
        assert is_cut(client)
    server.wait_for_log("the application's own trouble", after=log_start)


# -- close() -----------------------------------------------------------------------------------------------

ENDINGS: dict[str, dict[str, Any]] = {
    "to the end": {},
    "without a block": {"blocks": []},
    "with a length": {"blocks": ["ab", "c"], "fields": [PLAIN, ["Content-Length", "3"]]},
    "longer than its length": {"blocks": ["abc", "def"], "fields": [PLAIN, ["Content-Length", "3"]]},
    "shorter than its length": {"blocks": ["a", "b"], "fields": [PLAIN, ["Content-Length", "9"]]},
    "204": {"status": "204 No Content", "fields": []},
    "304": {"status": "304 Not Modified", "fields": []},
    "raises at the first block": {"error": "ValueError", "at": "first"},
    "raises at the second block": {"error": "ValueError", "at": "then", "blocks": ["a", "b"]},
    "exits at the second block": {"error": "SystemExit", "at": "then", "blocks": ["a", "b"]},
    "raises at close": {"error": "ValueError", "at": "close"},
    "impossible status": {"status": "abc"},
    "impossible field": {"fields": [["X-A", "a\nb"]]},
    "no start_response": {"status": None},
    "a block that is no bytes": {"blocks": ["a", "b"]},
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("kind", WITH_CLOSE)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_close_is_called_once(server: Server, ending: str, kind: str, method: str) -> None:
    key = f"close-{ending}-{kind}-{method}".replace(" ", "-")
    with server.connect() as client:
        client.send(request_bytes(method, script(key=key, kind=kind, **{"blocks": ["a", "b"], **ENDINGS[ending]})))
        is_cut(client, method)
    recorded = events(server, key)
    assert recorded.count("call") == 1
    if ending.startswith("impossible") and kind != "late":
        assert recorded == ["call"], "it raised in the call: there was no iterable to close"
    elif kind == "generator" and ending == "no start_response":
        assert recorded.count("close") <= 1, "a generator that never ran has nothing to close"
    else:  # the last byte may be with the client before close() has been called
        wait_for(lambda: events(server, key).count("close"), "it is closed")
        assert events(server, key).count("close") == 1


@pytest.mark.parametrize("kind", ["custom", "sized", "generator"])
def test_close_is_called_once_when_the_client_has_gone(server: Server, kind: str) -> None:
    key = f"gone-{kind}"
    client = server.connect(timeout_s=10)
    client.send(request_bytes("GET", script(key=key, kind=kind, blocks=["x" * 50] * 40)) * 50)
    client.reset()

    def closed() -> tuple[int, ...]:
        recorded = events(server, key)
        calls = recorded.count("call")
        return (calls,) if calls == recorded.count("close") and recorded == events(server, key) else ()

    assert wait_for(closed, f"{key} is closed")[0] <= 50


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_client_that_goes_during_a_long_answer_harms_nobody(server: Server, method: str) -> None:
    # What a thread reports when its answer has left belongs to the tests before.
    wait_for(lambda: not requests_that_run(server), "nothing to run any more")
    log_start = len(server.log_text())
    for _ in range(5):
        with server.connect() as client:
            client.send(request_bytes("GET", "/big?size=50000000"))
            client.read_head()
            client.reset()
    assert server.get("/").status == 200
    assert "Traceback" not in server.log_text()[log_start:]


def test_error_in_close_does_not_harm_the_answer(server: Server, log_start: int) -> None:
    with server.connect() as client:
        client.send(request_bytes("GET", script(kind="custom", at="close", error="ValueError")))
        answer = client.read_answer()
        assert (answer.status, answer.body) == (200, b"hello\n")
        check_closed_or_in_step(client, answer)
    log = server.wait_for_log("raised on purpose", after=log_start)
    assert "GET /answer?" in log


# -- early hints -------------------------------------------------------------------------------------------


def test_early_hints_come_before_the_answer(server: Server) -> None:
    with server.connect() as client:
        for _ in range(2):
            client.send(request_bytes("GET", "/hints"))
            answer = client.read_answer()
            assert answer.body == b"hinted\n"
            assert [hint.status for hint in answer.hints] == [103, 103]
            assert [hint.field("Link") for hint in answer.hints] == [
                "</style.css>; rel=preload; as=style",
                "</script.js>; rel=preload; as=script",
            ]


def test_early_hints_are_not_sent_to_http10(server: Server) -> None:
    answer = server.ask(b"GET /hints HTTP/1.0\r\n\r\n")
    assert (answer.body, answer.hints) == (b"hinted\n", [])


@pytest.mark.parametrize(
    ("name", "value"), [("Link", "a\r\nX-B: b"), ("Link\r\nX-B", "b"), ("Link", "a\0"), ("L k", "a")]
)
def test_early_hints_can_not_inject(server: Server, name: str, value: str) -> None:
    answer = run_script(server, hints=[[name, value]])
    assert answer.status == 500
    assert not any(hint.all("X-B") for hint in answer.hints)
