"""Every sample configuration is started as its comments say, and asked what its application is for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from integration.conftest import Sample
from support.client import Client, request_bytes
from support.server import Server, free_port, serve

RUNNERS = ("paster", "pserve", "gearbox")
Pick = Callable[[str], Sample]


def post(
    server: Server, target: str, form: str, *fields: tuple[str, str]
) -> tuple[int, list[str], str | None]:
    """Status, cookies and Location that a form gets."""
    answer = server.get(
        target,
        ("Host", f"127.0.0.1:{server.port}"),
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Content-Length", str(len(form))),
        *fields,
        method="POST",
        body=form.encode(),
    )
    return (
        answer.status,
        [value.partition(";")[0] for value in answer.all("Set-Cookie")],
        answer.field("Location"),
    )


@pytest.mark.parametrize("runner", RUNNERS)
def test_hello_greets_under_every_runner(runner: str, sample: Pick) -> None:
    hello = sample("hello.ini")
    with serve(hello.ini, port=hello.port, runner=runner) as server:
        assert b"<h1>Hello, world</h1>" in server.get("/").body
        assert "<h1>Hello, Zoë &lt;3</h1>" in server.get("/Zo%C3%AB%20%3C3").body.decode()
        assert len(server.titled("unicorn: worker")) == 2


@pytest.mark.parametrize("runner", RUNNERS)
def test_wsgi_takes_its_port_from_the_command_line_and_logs_requests(runner: str, sample: Pick) -> None:
    port = free_port()
    with serve(sample("wsgi.ini").ini, port=port, runner=runner, args=[f"port={port}"]) as server:
        assert server.get("/Ada").status == 200
        line = server.wait_for_log('"GET /Ada HTTP/1.1" 200 ')
        assert re.search(r'^127\.0\.0\.1 "GET /Ada HTTP/1\.1" 200 \d+ \d+us$', line, re.MULTILINE)


@pytest.mark.parametrize("runner", RUNNERS)
def test_django_shows_its_page_and_takes_a_form(runner: str, sample: Pick) -> None:
    django = sample("django.ini")
    with serve(django.ini, port=django.port, runner=runner) as server:
        host = ("Host", f"127.0.0.1:{server.port}")
        page = server.get("/", host)
        assert page.status == 200
        assert b"nobody yet" in page.body
        cookie = page.all("Set-Cookie")[0].partition(";")[0]
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.body.decode())
        assert token is not None
        form = f"csrfmiddlewaretoken={token[1]}&guest=Grace"
        assert post(server, "/", form)[0] == 403  # without the cookie
        status, cookies, location = post(server, "/", form, ("Cookie", cookie))
        assert (status, location) == (302, "/")
        assert b"<li>Grace</li>" in server.get("/", host, ("Cookie", "; ".join(cookies))).body


@pytest.mark.parametrize("runner", RUNNERS)
def test_pyramid_answers_on_both_families_and_its_loggers_are_used(runner: str, sample: Pick) -> None:
    pyramid = sample("pyramid.ini")
    with serve(
        pyramid.ini, port=pyramid.port, runner=runner, env=pyramid.environment, ready="/hello/ready"
    ) as server:
        answer = server.get("/hello/Ada")
        assert json.loads(answer.body) == {"greeting": "Hello, Ada"}
        assert server.get("/hello/nobody").status == 404
        assert server.get("/nowhere").status == 404
        with Client(("::1", server.port)) as client:
            client.send(request_bytes("GET", "/hello/six"))
            assert json.loads(client.read_answer().body) == {"greeting": "Hello, six"}
        log = server.wait_for_log("::1 - - ")
        assert re.search(r"DEBUG \[pyramid_site:\d+\] Greeting Ada\.$", log, re.MULTILINE)
        assert re.search(r"INFO  \[gunicorn\.error:\d+\] ", log)
        access = re.findall(r'^127\.0\.0\.1 - - \[.*\] "GET /hello/Ada HTTP/1\.1" 200 .*$', log, re.MULTILINE)
        assert len(access) == 1


@pytest.mark.parametrize("runner", RUNNERS)
def test_pylons_has_sessions_that_all_workers_share_static_files_and_routes(
    runner: str, sample: Pick
) -> None:
    pylons = sample("pylons.ini")
    with serve(pylons.ini, port=pylons.port, runner=runner, env=pylons.environment) as server:
        cookies: list[str] = []
        for number in range(6):
            fields = [("Cookie", cookies[0])] if cookies else []
            status, new, location = post(server, "/guests/sign", f"guest=number{number}", *fields)
            assert (status, location) == (303, f"http://127.0.0.1:{server.port}/")
            cookies = cookies or new
        page = server.get("/", ("Cookie", cookies[0])).body.decode()
        assert re.findall(r"<li>(\w+)</li>", page) == [f"number{number}" for number in range(6)]
        style = server.get("/style.css")
        assert (style.status, style.field("Content-Type")) == (200, "text/css")
        assert server.get("/guests/nothing").status == 404
        assert server.get("/nothing/at/all").status == 404
        crash = server.get("/guests/crash")
        assert crash.status == 500
        assert b"an action failed" not in crash.body
        server.wait_for_log("RuntimeError: an action failed")


def test_samples_name_every_setting_rightly(sample: Pick) -> None:
    """No sample starts with a warning of ours."""
    for name in ("hello.ini", "wsgi.ini", "django.ini", "pyramid.ini", "pylons.ini"):
        picked = sample(name)
        port = picked.port
        with serve(picked.ini, port=port, env=picked.environment) as server:
            assert "WARNING" not in server.log_text(), name
