"""RFC 9110 and RFC 9112 §6 for responses; PEP 3333's guards: what an application can't put on the wire."""

from __future__ import annotations

from typing import Any

import pytest
from support.checks import (
    check_closed_or_in_step,
    check_error_page,
    check_still_in_step,
    is_cut,
    run_script,
    script,
)
from support.client import Answer, Closed, request_bytes
from support.server import Server

PLAIN = ["Content-Type", "text/plain"]


def check_is_500(server: Server, log_start: int, **told: Any) -> Answer:
    """The application's answer is replaced by 500, and the log says why and for which request."""
    with server.connect() as client:
        client.send(request_bytes("GET", script(**told)))
        answer = client.read_answer()
        check_closed_or_in_step(client, answer)
    assert answer.status == 500, answer
    check_error_page(server, answer)
    log = server.wait_for_log("GET /answer?", after=log_start)
    assert "ERROR" in log or "WARNING" in log, log
    return answer


# -- which answers have a body -----------------------------------------------------------------------------

BODILESS = [("GET", "204 No Content"), ("GET", "304 Not Modified"), ("HEAD", "200 OK"), ("HEAD", "404 Not Found"),
            ("HEAD", "204 No Content"), ("HEAD", "304 Not Modified")]  # fmt: skip


@pytest.mark.parametrize(("method", "status"), BODILESS)
@pytest.mark.parametrize("kind", ["list", "tuple", "generator", "iterator", "custom", "late"])
@pytest.mark.parametrize("blocks", [[], ["hello"], ["", "hello", "world"]])
def test_answer_that_may_have_no_body_has_none(
    server: Server, method: str, status: str, kind: str, blocks: list[str]
) -> None:
    with server.connect() as client:
        for _ in range(2):
            client.send(request_bytes(method, script(status=status, kind=kind, blocks=blocks)))
            answer = client.read_answer(method)
            assert (answer.status, answer.body) == (int(status[:3]), b"")
        check_closed_or_in_step(client, answer)


@pytest.mark.parametrize(("method", "status"), BODILESS)
def test_write_sends_no_body_where_there_may_be_none(server: Server, method: str, status: str) -> None:
    with server.connect() as client:
        client.send(request_bytes(method, script(status=status, write=["hello"], blocks=["world"])))
        answer = client.read_answer(method)
        check_closed_or_in_step(client, answer)


def test_head_has_the_fields_of_get(server: Server) -> None:
    told: dict[str, Any] = {"fields": [PLAIN, ["Content-Length", "6"], ["ETag", '"x"']]}
    answers = [run_script(server, method, **told) for method in ("GET", "HEAD")]
    fields = [[field for field in answer.fields if field[0] != "Date"] for answer in answers]
    assert fields[0] == fields[1]


def test_head_keeps_the_length_that_the_application_gave(server: Server) -> None:
    answer = run_script(server, "HEAD", fields=[PLAIN, ["Content-Length", "12345"]], blocks=[])
    assert answer.field("Content-Length") == "12345"


def test_304_keeps_the_length_that_the_application_gave(server: Server) -> None:
    with server.connect() as client:
        told = {
            "status": "304 Not Modified",
            "fields": [["ETag", '"x"'], ["Content-Length", "12345"]],
            "blocks": [],
        }
        client.send(request_bytes("GET", script(**told)))
        assert client.read_answer().field("Content-Length") in ("12345", None)
        check_still_in_step(client)


def test_204_never_has_a_length(server: Server) -> None:
    # `read_answer` fails on it.
    run_script(server, status="204 No Content", fields=[["Content-Length", "0"]], blocks=[])


def test_205_has_no_content(server: Server) -> None:
    with server.connect() as client:
        client.send(request_bytes("GET", script(status="205 Reset Content", blocks=[])))
        assert client.read_answer().body == b""
        check_still_in_step(client)


# -- how a body is delimited -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["list", "tuple"])
@pytest.mark.parametrize("blocks", [[], [""], ["hello"]])
def test_list_of_one_block_gets_its_length(server: Server, kind: str, blocks: list[str]) -> None:
    answer = run_script(server, kind=kind, blocks=blocks)
    assert answer.field("Content-Length") == str(len("".join(blocks)))


@pytest.mark.parametrize("kind", ["generator", "iterator", "sequence", "custom", "late"])
def test_body_of_unknown_length_is_chunked(server: Server, kind: str) -> None:
    answer = run_script(server, kind=kind, blocks=["one", "two", "three"])
    assert answer.framing == "chunked"
    assert answer.body == b"onetwothree"


@pytest.mark.parametrize("kind", ["generator", "iterator", "sequence", "custom", "late", "list", "sized"])
@pytest.mark.parametrize("blocks", [["", "a", "", "b", ""], ["", ""], ["a", ""], []])
def test_empty_blocks_do_not_end_the_body(server: Server, kind: str, blocks: list[str]) -> None:
    with server.connect() as client:
        client.send(request_bytes("GET", script(kind=kind, blocks=blocks)))
        answer = client.read_answer()
        assert answer.body == "".join(blocks).encode()
        check_closed_or_in_step(client, answer)


@pytest.mark.parametrize("kind", ["list", "generator", "custom"])
def test_length_of_the_application_is_used(server: Server, kind: str) -> None:
    answer = run_script(server, kind=kind, blocks=["one", "two"], fields=[PLAIN, ["Content-Length", "6"]])
    assert (answer.framing, answer.body) == ("sized", b"onetwo")


@pytest.mark.parametrize("kind", ["list", "tuple", "generator", "iterator", "sequence", "custom", "late"])
@pytest.mark.parametrize("blocks", [["hello"], ["he", "llo"], ["hel", "lo"], ["h", "e", "l", "l", "o"]])
def test_body_longer_than_its_length_never_runs_into_the_next_answer(
    server: Server, kind: str, blocks: list[str]
) -> None:
    with server.connect() as client:
        client.send(request_bytes("GET", script(kind=kind, blocks=blocks, fields=[PLAIN, ["Content-Length", "3"]])))
        answer = client.read_answer()
        assert answer.status == 500 or answer.body in (b"hel", b"hello")
        check_closed_or_in_step(client, answer)


@pytest.mark.parametrize("write", [["hello"], ["hel", "lo"], ["he", "llo"]])
def test_write_beyond_the_length_never_runs_into_the_next_answer(server: Server, write: list[str]) -> None:
    told = {"write": write, "blocks": ["more"], "fields": [PLAIN, ["Content-Length", "3"]]}
    with server.connect() as client:
        client.send(request_bytes("GET", script(**told)))
        answer = client.read_answer()
        assert answer.status == 500 or answer.body == b"hel"
        check_closed_or_in_step(client, answer)


@pytest.mark.parametrize("kind", ["generator", "iterator", "sequence", "custom", "late"])
@pytest.mark.parametrize("blocks", [["hello"], ["he", "llo"], [], [""]])
def test_body_shorter_than_its_length_is_cut_so_that_the_client_can_tell(
    server: Server, kind: str, blocks: list[str]
) -> None:
    with server.connect() as client:
        client.send(request_bytes("GET", script(kind=kind, blocks=blocks, fields=[PLAIN, ["Content-Length", "9"]])))
        try:
            answer = client.read_answer()
        except (Closed, ConnectionResetError):
            return
        # Nothing had been sent yet: a true answer is better still.
        assert answer.status == 500 or answer.body == "".join(blocks).encode(), answer


def test_body_shorter_than_its_length_is_logged_with_its_request(server: Server, log_start: int) -> None:
    with server.connect() as client:
        told = {"kind": "generator", "blocks": ["a", "b"], "fields": [PLAIN, ["Content-Length", "9"]]}
        client.send(request_bytes("GET", script(**told)))
        assert is_cut(client)
    server.wait_for_log("GET /answer?", after=log_start)


def test_list_with_a_wrong_length_gets_the_true_one_or_500(server: Server) -> None:
    for length in ("3", "9"):
        answer = run_script(server, blocks=["hello"], fields=[PLAIN, ["Content-Length", length]])
        assert answer.status == 500 or (answer.field("Content-Length"), answer.body) == ("5", b"hello")


@pytest.mark.parametrize("length", ["-5", "+5", "abc", "", "5, 5", "5.0", "0x5", "5 5", "1_0", "\u0665"])
@pytest.mark.parametrize("kind", ["list", "generator"])
def test_length_that_is_no_number_never_reaches_the_wire(
    server: Server, log_start: int, length: str, kind: str
) -> None:
    check_is_500(server, log_start, kind=kind, blocks=["hello"], fields=[PLAIN, ["Content-Length", length]])


def test_two_lengths_never_reach_the_wire(server: Server, log_start: int) -> None:
    fields = [PLAIN, ["Content-Length", "5"], ["content-length", "6"]]
    check_is_500(server, log_start, blocks=["hello"], fields=fields)


# -- status and fields -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "status", ["200 OK", "201 Created", "299 Whatever", "404 Not Found", "451 Unavailable For Legal Reasons",
               "500 Internal Server Error", "599 x", "200 Ol\xe9", "200 a  b"],
)  # fmt: skip
def test_status_of_the_application_is_sent(server: Server, status: str) -> None:
    answer = run_script(server, status=status)
    assert f"{answer.status} {answer.reason}" == status


IMPOSSIBLE = ["", "abc", "99 x", "20 OK", "1000 x", "000 x", "2OO OK", " 200 OK", "-200 OK", "+20 OK", "2.0 OK",
              "\u0662\u0660\u0660 OK", "200 OK\r\nSet-Cookie: a=b", "200 O\nK", "200 O\rK", "200 O\0K", "200 \u20ac",
              "200OK", "100 Continue", "101 Switching Protocols", "103 Early Hints", 200, {"bytes": "200 OK"}, ["200"],
              ]  # fmt: skip


@pytest.mark.parametrize("status", IMPOSSIBLE, ids=ascii)
def test_impossible_status_is_answered_with_500(server: Server, log_start: int, status: Any) -> None:
    check_is_500(server, log_start, status=status)


BAD_FIELDS = {
    "CRLF in a value": ["X-A", "a\r\nX-B: b"],
    "LF in a value": ["X-A", "a\nX-B: b"],
    "CR in a value": ["X-A", "a\rX-B: b"],
    "NUL in a value": ["X-A", "a\0b"],
    "folded value": ["X-A", "a\r\n b"],
    "LF at the end of a value": ["X-A", "a\n"],
    "CRLF in a name": ["X-A\r\nX-B", "b"],
    "colon in a name": ["X-A: b\r\nX", "b"],
    "colon alone in a name": ["X:A", "b"],
    "blank in a name": ["X A", "b"],
    "blank behind a name": ["X-A ", "b"],
    "empty name": ["", "b"],
    "name beyond ASCII": ["X-\xe9", "b"],
    "value beyond latin-1": ["X-A", "\u20ac"],
    "value that looks like LF when cut to a byte": ["X-A", "a\u010aX-B: b"],
    "number for a value": ["X-A", 5],
    "nothing for a value": ["X-A", None],
    "bytes for a value": ["X-A", {"bytes": "b"}],
    "bytes for a name": [{"bytes": "X-A"}, "b"],
    "three members": ["X-A", "b", "c"],
    "one member": ["X-A"],
}


@pytest.mark.parametrize("field", BAD_FIELDS.values(), ids=BAD_FIELDS)
@pytest.mark.parametrize("kind", ["list", "generator"])
def test_field_that_is_none_is_answered_with_500(server: Server, log_start: int, field: list[Any], kind: str) -> None:
    answer = check_is_500(server, log_start, kind=kind, fields=[PLAIN, field])
    assert answer.all("X-A") == answer.all("X-B") == []


@pytest.mark.parametrize("field", [["X-A", "a\r\nX-B: b"], ["X-A\r\nX-B", "b"]])
def test_injection_stays_impossible_when_tried_again(server: Server, log_start: int, field: list[str]) -> None:
    for _ in range(3):
        check_is_500(server, log_start, fields=[PLAIN, field])


HOP_BY_HOP = ["Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "TE", "Trailers",
              "Transfer-Encoding", "Upgrade"]  # fmt: skip


@pytest.mark.parametrize("name", HOP_BY_HOP)
def test_hop_by_hop_field_is_refused(server: Server, log_start: int, name: str) -> None:
    for spelling in (name, name.upper(), name.lower()):
        check_is_500(server, log_start, fields=[PLAIN, [spelling, "x"]])


def test_chunked_of_the_application_is_refused(server: Server, log_start: int) -> None:
    check_is_500(server, log_start, fields=[PLAIN, ["Transfer-Encoding", "chunked"]], blocks=["5\r\nhello\r\n"])


def test_fields_are_sent_as_given_and_in_their_order(server: Server) -> None:
    fields = [["X-b", "2"], ["x-A", "1"], ["Set-Cookie", "a=1"], ["Set-Cookie", "b=2"], ["X-Latin", "caf\xe9"],
              ["X-Empty", ""], PLAIN, ["X-Tab", "a\tb"]]  # fmt: skip
    answer = run_script(server, fields=fields)
    ours = [list(field) for field in answer.fields if list(field) in fields]
    assert ours == fields


def test_date_and_server_of_the_application_replace_ours(server: Server) -> None:
    date = "Tue, 15 Nov 1994 08:12:31 GMT"
    answer = run_script(server, fields=[PLAIN, ["Date", date], ["Server", "mine"]])
    assert (answer.field("Date"), answer.field("Server")) == (date, "mine")


def test_server_names_itself_without_a_version(server: Server) -> None:
    assert server.get("/").field("Server") == "paste_unicorn"


@pytest.mark.parametrize("shape", ["tuple", "none"])
def test_fields_that_are_no_list_are_refused_or_harmless(server: Server, shape: str) -> None:
    answer = run_script(server, fields_as=shape)
    assert answer.status == 500 or (shape == "tuple" and answer.body == b"hello\n")


def test_answer_of_hundreds_of_fields_is_sent(server: Server) -> None:
    answer = server.get("/many-fields?count=500")
    assert [answer.field(f"X-{number}") for number in range(500)] == ["v"] * 500


@pytest.mark.parametrize("size", [1, 65_535, 65_536, 65_537, 1_000_000, 20_000_000])
def test_body_of_any_size_arrives_whole(server: Server, size: int) -> None:
    assert server.get(f"/big?size={size}").body == b"x" * size
