"""Formats of the access log: what each atom says, and that no request can forge a line."""

from __future__ import annotations

import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paste_unicorn.ops.access_atoms import Served
from paste_unicorn.ops.access_format import AccessLogFormatProblem, compile_format

STAMP = time.strftime("[%d/%b/%Y:%H:%M:%S %z]", time.localtime(1795525201))  # of the fixture


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("%(h)s", "192.0.2.7"),
        ("%(l)s", "-"),
        ("%(u)s", "-"),
        ("%(t)s", STAMP),
        ("%(r)s", "GET /wiki/Page?edit=1 HTTP/1.1"),
        ("%(s)s", "200"),
        ("%(m)s", "GET"),
        ("%(U)s", "/wiki/Page"),
        ("%(q)s", "edit=1"),
        ("%(H)s", "HTTP/1.1"),
        ("%(b)s", "1234"),
        ("%(B)s", "1234"),
        ("%(f)s", "http://example.org/"),
        ("%(a)s", "curl/8"),
        ("%(T)s", "0"),
        ("%(M)s", "12"),
        ("%(D)s", "12345"),
        ("%(L)s", "0.012346"),
        ("%(p)s", "<4711>"),
        ("%(g)s", "3"),
        ("%(X)s", "ok"),
        ("%({host}i)s", "example.org"),
        ("%({User-Agent}i)s", "curl/8"),
        ("%({x-missing}i)s", "-"),
        ("%({content-type}o)s", "text/html"),
        ("%({x-cache}o)s", "hit"),
        ("%({REQUEST_METHOD}e)s", "GET"),
        ("%({wsgi.url_scheme}e)s", "http"),
        ("%({request_method}e)s", "GET"),
        ("%({no_such}e)s", "-"),
        ("100%% %(D)d us [%(s)5s]", "100% 12345 us [  200]"),
        ("{h} {user-agent}i {x-cache}o {REQUEST_METHOD}e", "192.0.2.7 curl/8 hit GET"),
        ("{h}i {{h}} 100%", "192.0.2.7i {h} 100%"),
        ("common", f'192.0.2.7 - - {STAMP} "GET /wiki/Page?edit=1 HTTP/1.1" 200 1234'),
        (
            "combined",
            f'192.0.2.7 - - {STAMP} "GET /wiki/Page?edit=1 HTTP/1.1" 200 1234 "http://example.org/" "curl/8"',
        ),
    ],
)
def test_format_gives_line(served: Served, text: str, line: str) -> None:
    assert compile_format(text)(served) == line


def test_the_same_format_in_both_styles_gives_the_same_line(served: Served) -> None:
    percent = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s" %(L)s'
    braces = '{h} {l} {u} {t} "{r}" {s} {b} "{f}" "{a}" {L}'
    assert compile_format(percent)(served) == compile_format(braces)(served)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("combine", 'did you mean the preset "combined"?'),
        ("jsn", 'did you mean the preset "json"?'),
        ("hello", "names no atom"),
        ("%(z)s", '"%(z)s" is not an atom; known are h l t'),
        ("{h} {zz}", '"{zz}" is not an atom'),
        ("{h} {", '"{" before "" is no atom'),
        ("%(h)s 100% sure", 'the "%" before " sure" is no atom'),
        ("%(h)d", "number is required"),
    ],
)
def test_what_is_no_format_is_said_with_its_name(text: str, says: str) -> None:
    with pytest.raises(AccessLogFormatProblem) as caught:
        compile_format(text)
    assert str(caught.value).startswith("access_log_format: ")
    assert says in str(caught.value)


def test_values_that_are_missing_are_dashes(served: Served) -> None:
    nothing = served._replace(
        peer="", request_line="", environ=None, fields=(), status=0, response_fields=[], body_bytes=0
    )
    line = compile_format("{h} {u} {r} {s} {m} {U} {H} {b} {f} {a} {x-a}i {x-a}o {x-a}e")(nothing)
    assert line == " ".join(["-"] * 13)


def test_user_is_what_the_application_set_before_the_basic_user(served: Served) -> None:
    fields = (("Authorization", "Basic YWxpY2U6c2VjcmV0"),)
    line = compile_format("{u}")
    assert line(served._replace(fields=fields)) == "alice"
    assert line(served._replace(fields=fields, environ={"REMOTE_USER": "bob"})) == "bob"
    assert line(served._replace(fields=(("Authorization", "Bearer YWxpY2U6c2VjcmV0"),))) == "-"
    assert line(served._replace(fields=(("Authorization", "Basic ???"),))) == "-"


def test_no_password_is_ever_logged(served: Served) -> None:
    fields = (("Authorization", "Basic YWxpY2U6c2VjcmV0"),)
    for preset in ("common", "combined", "json"):
        assert "secret" not in compile_format(preset)(served._replace(fields=fields))


def test_a_repeated_field_is_joined(served: Served) -> None:
    fields = (("X-Forwarded-For", "a"), ("x-forwarded-for", "b"))
    assert compile_format("{x-forwarded-for}i")(served._replace(fields=fields)) == "a, b"


def test_absolute_form_has_the_path_after_its_authority(served: Served) -> None:
    assert compile_format("{U}")(served._replace(request_line="GET http://a.example/x?y HTTP/1.1")) == "/x"


def test_equal_blocks_of_different_requests_are_not_mixed_up(served: Served) -> None:
    line = compile_format("{a}")
    for number in range(1000):
        assert line(served._replace(fields=(("User-Agent", f"agent {number}"),))) == f"agent {number}"


# A combined line: what is between quotes holds no bare quote, and nothing else but printable ASCII is in it.
QUOTED = r'"(?:[^"\\]|\\.)*"'
COMBINED = re.compile(rf"[ -~]+ - [ -~]+ \[[^\]]+\] {QUOTED} \d{{3}} \d+ {QUOTED} {QUOTED}")


@given(st.text(), st.text(), st.text(), st.text())
def test_no_value_can_forge_a_combined_line(served: Served, line: str, referer: str, agent: str, user: str) -> None:
    text = compile_format("combined")(
        served._replace(
            request_line=line,
            fields=(("Referer", referer), ("User-Agent", agent)),
            environ={"REMOTE_USER": user},
        )
    )
    assert text.isascii()
    assert text.isprintable()
    assert COMBINED.fullmatch(text)


def test_line_breaks_quotes_and_terminal_escapes_are_visible(served: Served) -> None:
    agent = 'a" 200\r\n127.0.0.1 \x1b[2J\\\xe9\u2028'
    text = compile_format('"{a}"')(served._replace(fields=(("User-Agent", agent),)))
    assert text == r'"a\" 200\r\n127.0.0.1 \x1b[2J\\\xe9\u2028"'


@given(st.text(), st.text())
def test_json_is_one_line_of_real_json_with_the_values_unchanged(served: Served, path: str, agent: str) -> None:
    text = compile_format("json")(served._replace(fields=(("User-Agent", agent),), request_line=f"GET /{path}"))
    assert "\n" not in text
    assert "\r" not in text
    value = json.loads(text)["user_agent"]
    assert value == agent or value.encode("utf-8") == agent.encode("latin-1")


def test_json_has_numbers_as_numbers_and_names_what_happened(served: Served) -> None:
    record = json.loads(compile_format("json")(served))
    assert record == {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S.500Z", time.gmtime(served.wall_time)),
        "remote_addr": "192.0.2.7",
        "remote_user": None,
        "method": "GET",
        "path": "/wiki/Page",
        "query": "edit=1",
        "protocol": "HTTP/1.1",
        "status": 200,
        "bytes": 1234,
        "duration_s": 0.012346,
        "referer": "http://example.org/",
        "user_agent": "curl/8",
        "pid": 4711,
        "generation": 3,
        "how": "ok",
    }
