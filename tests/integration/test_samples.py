"""Every sample configuration is started as its comments say, and asked what its application is for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from integration.conftest import Sample
from support.client import Client, request_bytes
from support.server import Server, serve, wait_for

RUNNERS = ("paster", "pserve", "gearbox")
Pick = Callable[[str], Sample]


def post(server: Server, target: str, form: str, *fields: tuple[str, str]) -> tuple[int, list[str], str | None]:
    """Status, cookies and Location that a form gets."""
    answer = server.get(
        target,
        ("Content-Type", "application/x-www-form-urlencoded"),
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
        wait_for(lambda: len(server.titled("unicorn: worker")) == 2, "two workers")


def test_hello_by_a_relative_path_from_the_folder_above_as_the_readme_says(sample: Pick) -> None:
    hello = sample("hello.ini")
    process = subprocess.Popen(
        [Path(sys.executable).parent / "paster", "serve", f"{hello.ini.parent.name}/hello.ini"],
        cwd=hello.ini.parent.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_for(lambda: _greets(hello.port), "a greeting", 20.0)
    finally:
        process.terminate()
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 0, output
    assert "Traceback" not in output


def _greets(port: int) -> bool:
    try:
        with Client(("127.0.0.1", port)) as client:
            client.send(request_bytes("GET", "/"))
            return b"Hello, world" in client.read_answer().body
    except ConnectionRefusedError:
        return False


@pytest.mark.parametrize("runner", RUNNERS)
def test_wsgi_calls_the_factory_and_logs_requests(runner: str, sample: Pick) -> None:
    wsgi = sample("wsgi.ini")
    with serve(wsgi.ini, port=wsgi.port, runner=runner) as server:
        assert server.get("/Ada").status == 200
        line = server.wait_for_log('"GET /Ada HTTP/1.1" 200 ')
        assert re.search(r'^127\.0\.0\.1 "GET /Ada HTTP/1\.1" 200 \d+ \d+us$', line, re.MULTILINE)


@pytest.mark.parametrize("runner", RUNNERS)
def test_django_shows_its_page_and_takes_a_form(runner: str, sample: Pick) -> None:
    django = sample("django.ini")
    with serve(django.ini, port=django.port, runner=runner) as server:
        page = server.get("/")
        assert page.status == 200
        assert b"nobody yet" in page.body
        cookie = page.all("Set-Cookie")[0].partition(";")[0]
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.body.decode())
        assert token is not None
        form = f"csrfmiddlewaretoken={token[1]}&guest=Grace"
        assert post(server, "/", form)[0] == 403  # without the cookie
        status, cookies, location = post(server, "/", form, ("Cookie", cookie))
        assert (status, location) == (302, "/")
        assert b"<li>Grace</li>" in server.get("/", ("Cookie", "; ".join(cookies))).body


@pytest.mark.parametrize("runner", RUNNERS)
def test_pyramid_answers_on_both_families_and_its_loggers_are_used(runner: str, sample: Pick) -> None:
    pyramid = sample("pyramid.ini")
    with serve(pyramid.ini, port=pyramid.port, runner=runner, env=pyramid.environment, ready="/hello/ready") as server:
        answer = server.get("/hello/Ada")
        assert json.loads(answer.body) == {"greeting": "Hello, Ada"}
        assert server.get("/hello/nobody").status == 404
        assert server.get("/nowhere").status == 404
        with Client(("::1", server.port)) as client:
            client.send(request_bytes("GET", "/hello/six"))
            assert json.loads(client.read_answer().body) == {"greeting": "Hello, six"}
        server.wait_for_log('"GET /hello/six HTTP/1.1" 200')
        server.wait_for_log("Serving ")
        log = server.wait_for_log('"GET /hello/Ada HTTP/1.1" 200')
        assert re.search(r"DEBUG \[pyramid_site:\d+\] Greeting Ada\.$", log, re.MULTILINE)
        assert re.search(r"INFO  \[gunicorn\.error:\d+\] ", log)
        assert re.search(r'^::1 - - \[.*\] "GET /hello/six ', log, re.MULTILINE)
        access = re.findall(r'^127\.0\.0\.1 - - \[.*\] "GET /hello/Ada HTTP/1\.1" 200 .*$', log, re.MULTILINE)
        assert len(access) == 1


@pytest.mark.parametrize("runner", RUNNERS)
def test_pylons_has_sessions_that_all_workers_share_static_files_and_routes(runner: str, sample: Pick) -> None:
    pylons = sample("pylons.ini")
    with serve(pylons.ini, port=pylons.port, runner=runner, env=pylons.environment) as server:
        cookies: list[str] = []
        for number in range(6):
            fields = [("Cookie", cookies[0])] if cookies else []
            status, new, location = post(server, "/guests/sign", f"guest=number{number}", *fields)
            assert (status, location) == (303, "http://localhost/")
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
            assert "WARNING" not in server.wait_for_log("Serving "), name
