"""nginx and lighttpd in front, started for real with the sample configurations."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.conftest import SAMPLES
from support.client import Client, request_bytes
from support.ports import free_port
from support.server import APPLICATION, Server, serve, wait_for

PROXIES = ("nginx", "lighttpd")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that the proxy's own user may enter (pytest's are for their owner alone)."""
    folder = Path(tempfile.mkdtemp(prefix="unicorn-proxy-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


# What docs/uploads.md says to change where uploads must reach the server as they arrive.
STREAMING = {
    "nginx": {"# proxy_request_buffering off;": "proxy_request_buffering off;"},
    "lighttpd": {"server.stream-request-body = 0": "server.stream-request-body = 2"},
}


def configure(proxy: str, folder: Path, port: int, backend: str | int, more: dict[str, str]) -> list[str]:
    """The sample with our port and backend put in; the command that starts it."""
    text = (SAMPLES / f"{proxy}.conf").read_text()
    if proxy == "nginx":
        changes = {"listen 8000;": f"listen 127.0.0.1:{port};", "pid nginx.pid;": f"pid {folder}/nginx.pid;"}
        if isinstance(backend, int):
            changes |= {
                "        server unix:/run/site/unicorn.sock fail_timeout=0;\n": "",
                "# server 127.0.0.1:8080": f"server 127.0.0.1:{backend}",
            }
    else:
        changes = {"server.port = 8000": f"server.port = {port}"}
        if isinstance(backend, int):
            changes |= {
                'proxy.server = ( "" => ( ( "host" => "/run/site/unicorn.sock" ) ) )\n': "",
                '# proxy.server = ( "" => ( ( "host" => "127.0.0.1", "port" => 8080 ) ) )':
                    f'proxy.server = ( "" => ( ( "host" => "127.0.0.1", "port" => {backend} ) ) )',
            }  # fmt: skip
    if isinstance(backend, str):
        changes["/run/site/unicorn.sock"] = backend
    for old, new in {**changes, **more}.items():
        assert old in text, old
        text = text.replace(old, new)
    if proxy == "lighttpd":
        text += "server.max-keep-alive-idle = 60\n"  # not 5: a client of a test may stand still between two requests
    conf = folder / f"{proxy}.conf"
    conf.write_text(text)
    if proxy == "nginx":
        return ["nginx", "-p", f"{folder}/", "-c", str(conf)]
    return ["lighttpd", "-D", "-f", str(conf)]


@contextlib.contextmanager
def behind(
    proxy: str, backend: str, folder: Path, app: str = APPLICATION, changes: dict[str, str] | None = None
) -> Iterator[tuple[Server, Client]]:
    """A server with the proxy in front, and a connection to the proxy, in whose sample these changes are made."""
    inner: str | int = f"{folder}/unicorn.sock" if backend == "unix" else free_port()
    bind = f"unix:{inner}" if backend == "unix" else f"127.0.0.1:{inner}"
    settings = {"bind": bind, "workers": "2"}
    port = free_port()
    with serve(settings=settings, app=app, port=inner if isinstance(inner, int) else None) as server:
        log = folder / "proxy.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                configure(proxy, folder, port, inner, changes or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            with wait_for_proxy(process, port, log) as client:
                yield server, client
        finally:
            process.terminate()
            process.wait(10)


def wait_for_proxy(process: subprocess.Popen[bytes], port: int, log: Path) -> Client:
    deadline = time.monotonic() + 10
    while True:
        assert process.poll() is None, log.read_text()
        try:
            return Client(("127.0.0.1", port))
        except OSError:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)


@pytest.mark.parametrize("backend", ["unix", "tcp"])
@pytest.mark.parametrize("proxy", PROXIES)
def test_requests_of_every_kind_pass_through(proxy: str, backend: str, open_folder: Path) -> None:
    with behind(proxy, backend, open_folder) as (_, client):
        pids = set()
        for _ in range(40):
            client.send(request_bytes("GET", "/pid"))
            answer = client.read_answer()
            assert answer.status == 200
            pids.add(answer.body)
        assert pids
        body = hashlib.sha512(b"seed").digest() * 50_000  # 3.2 MB
        client.send(request_bytes("POST", "/echo", body=body))
        assert client.read_answer("POST").body == body
        client.send(request_bytes("HEAD", "/environ"))
        assert client.read_answer("HEAD").status == 200
        client.send(request_bytes("GET", "/no/such/page"))
        assert client.read_answer().status == 404


@pytest.mark.parametrize("backend", ["unix", "tcp"])
@pytest.mark.parametrize("proxy", PROXIES)
def test_the_application_learns_who_asked_and_a_client_cannot_pretend(
    proxy: str, backend: str, open_folder: Path
) -> None:
    with behind(proxy, backend, open_folder) as (_, client):
        fields = [("X-Forwarded-Proto", "https"), ("X_Forwarded_Proto", "https")]
        client.send(request_bytes("GET", "/environ?a=b%20c", fields))
        environ = {name: value for name, (_, value) in json.loads(client.read_answer().body).items()}
        assert environ["HTTP_HOST"] == "localhost"
        assert environ["HTTP_X_FORWARDED_FOR"] == "127.0.0.1"
        assert environ["HTTP_X_FORWARDED_PROTO"] == "http"
        assert environ["wsgi.url_scheme"] == "http"
        assert environ["PATH_INFO"] == "/environ"
        assert environ["QUERY_STRING"] == "a=b%20c"


@pytest.mark.parametrize("proxy", PROXIES)
def test_a_stop_and_start_of_the_server_is_all_that_a_proxy_sees(proxy: str, open_folder: Path) -> None:
    """Without a server the proxy answers 502 or 503, and works again as soon as there is one."""
    with behind(proxy, "unix", open_folder) as (server, client):
        server.stop()
        client.send(request_bytes("GET", "/pid"))
        assert client.read_answer().status in (502, 503)
        settings = {"bind": f"unix:{open_folder}/unicorn.sock"}
        address = client.sock.getpeername()

        def works_again() -> bool:
            with Client(address) as again:
                again.send(request_bytes("GET", "/pid"))
                return again.read_answer().status == 200

        with serve(settings=settings):
            # lighttpd waits a second before it believes in a backend that failed.
            wait_for(works_again, "an answer through the proxy", 15.0)


@pytest.mark.parametrize("proxy", PROXIES)
def test_the_progress_of_an_upload_is_seen_through_a_proxy_that_does_not_collect_it(
    proxy: str, open_folder: Path
) -> None:
    app = f"{APPLICATION}\nfilter-with = progress\n\n[filter:progress]\nuse = egg:gunicorn#upload_progress"
    target = "X-Progress-ID=0123456789abcdef"
    with behind(proxy, "tcp", open_folder, app, STREAMING[proxy]) as (_, client):

        def told() -> object:
            with Client(client.sock.getpeername()) as asker:
                asker.send(request_bytes("GET", f"/progress?{target}"))
                return json.loads(asker.read_answer().body)

        client.send(request_bytes("POST", f"/count?{target}", [("Content-Length", "50000")]))
        for received in range(10_000, 50_000, 10_000):
            client.send(b"x" * 10_000)
            said = {"state": "uploading", "received": received, "size": 50_000}
            wait_for(lambda said=said: told() == said, f"{said}")  # type: ignore[misc]
        client.send(b"x" * 10_000)
        assert client.read_answer().body == b"50000"
        done = {"state": "done", "received": 50_000, "size": 50_000}  # said a moment after the answer has left
        wait_for(lambda: told() == done, f"{done}")
