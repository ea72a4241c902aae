"""The examples of docs/fork_safety.md do what it says: no worker gets a connection that was opened before the fork."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.conftest import documented, opened
from support.checks import ask_each_worker
from support.ports import free_port
from support.server import Server, serve, wait_for

# -- the page's example, with SQLite ---------------------------------------------------------------------------


class Shop:
    """The example in a folder of its own, on a free port."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.ini, self.database = folder / "shop.ini", folder / "shop.db"
        (folder / "shop.py").write_text(documented("fork_safety.md", "shop.py"))
        self.text = documented("fork_safety.md", "shop.ini").replace("8080", str(self.port))

    @contextlib.contextmanager
    def serve(self, without: str = "") -> Iterator[Server]:
        lines = [line for line in self.text.splitlines() if not (without and without in line)]
        self.ini.write_text("\n".join(lines) + "\n")
        environ = {"PYTHONPATH": str(self.ini.parent)}
        with serve(self.ini, port=self.port, env=environ, ready=None) as server:
            server.wait_for_log("[INFO] Serving ")
            yield server


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_workers_of_the_example_inherit_no_connection_and_serve(shop: Shop) -> None:
    with shop.serve() as server:
        check_that_nobody_has_it_open(server, shop)
        texts = [answer.body for answer in ask_each_worker(server).values()]
        assert texts == [b"1 visits\n", b"2 visits\n"]
        server.signal(signal.SIGHUP)
        server.wait_for_log("Generation 2 serves")
        check_that_nobody_has_it_open(server, shop)
        texts = [answer.body for answer in ask_each_worker(server).values()]
        assert texts == [b"3 visits\n", b"4 visits\n"]
        assert "raised an exception" not in server.log_text()


def check_that_nobody_has_it_open(server: Server, shop: Shop) -> None:
    """Nobody who serves, or forks who serves; the first copy of the application lies in the arbiter."""
    wait_for(lambda: len(server.titled("unicorn: template")) == 1, "the template before to be gone")
    everybody = [process.pid for process in server.processes() if "arbiter" not in process.title]
    assert [opened(pid, shop.database) for pid in everybody] == [0, 0, 0]


def test_without_hooks_workers_would_inherit_it(shop: Shop) -> None:
    with shop.serve(without="_fork") as server:
        workers = [process.pid for process in server.titled("unicorn: worker")]
        assert [opened(pid, shop.database) for pid in workers] == [1, 1]


# -- a database on the network that knows who spoke on which connection ----------------------------------------

# An engine whose connections are lines to the test, beside SQLite in memory.
LINES = """
import os
import socket
import sqlite3

from sqlalchemy import create_engine
from sqlalchemy.pool import QueuePool


class Line(sqlite3.Connection):
    def __init__(self, port):
        super().__init__(":memory:")
        self.socket = socket.create_connection(("127.0.0.1", port))

    def ask(self):
        self.socket.sendall(b"%d\\n" % os.getpid())
        assert self.socket.recv(100) == b"heard\\n"

    def close(self):
        self.socket.close()
        super().close()


def make_app(global_conf, port):
    global engine
    engine = create_engine("sqlite://", creator=lambda: Line(int(port)), poolclass=QueuePool)
    return application


def application(environ, start_response):
    with engine.connect() as connection:
        connection.connection.driver_connection.ask()
    start_response("200 OK", [])
    return [b"asked\\n"]


def pre_fork(server, worker):
    engine.dispose()


def post_fork(server, worker):
    engine.dispose(close=False)
"""


class Database:
    """Listens, and notes the pids that spoke on each connection."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.speakers: list[set[int]] = []  # of each connection
        self.ended = 0  # connections whose end was seen
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            speakers: set[int] = set()
            self.speakers.append(speakers)
            threading.Thread(target=self._listen, args=(connection, speakers), daemon=True).start()

    def _listen(self, connection: socket.socket, speakers: set[int]) -> None:
        with connection:
            while data := connection.recv(100):
                speakers.update(map(int, data.split()))
                connection.sendall(b"heard\n")
        self.ended += 1


@pytest.fixture
def database() -> Iterator[Database]:
    database = Database()
    yield database
    database.listener.close()


@pytest.mark.parametrize(
    ("hooks", "connections", "shared", "ended"),
    [
        ((), 1, True, 0),
        (("post_fork",), 3, False, 0),
        (("pre_fork",), 3, False, 1),
        (("pre_fork", "post_fork"), 3, False, 1),
    ],
)
def test_who_speaks_on_a_connection_that_the_warm_up_opened(
    hooks: tuple[str, ...], connections: int, shared: bool, ended: int, database: Database, tmp_path: Path
) -> None:
    (tmp_path / "lines.py").write_text(LINES)
    settings = {"workers": "2", "warmup": "/", **{hook: f"lines.{hook}" for hook in hooks}}
    app = f"paste.app_factory = lines:make_app\nport = {database.port}"
    with serve(settings=settings, app=app, env={"PYTHONPATH": str(tmp_path)}, ready=None) as server:
        server.wait_for_log("[INFO] Serving ")
        (template,) = server.titled("unicorn: template")
        workers = set(ask_each_worker(server))
        ask_each_worker(server)
        assert len(workers) == 2
        wait_for(lambda: (database.ended, len(database.speakers)) == (ended, connections), "what ended and what began")
        assert database.speakers[0] == ({template.pid, *workers} if shared else {template.pid})
        if not shared:
            assert sorted(database.speakers[1:], key=min) == [{pid} for pid in sorted(workers)]


# -- the page's table ------------------------------------------------------------------------------------------

THINGS = """
import json
import random
import tempfile
import threading

OWN = random.Random(4711)
FILE = tempfile.TemporaryFile()
FILE.write(b"0123456789")
FILE.seek(0)
THREAD = threading.Thread(target=threading.Event().wait, name="sleeper", daemon=True)
THREAD.start()


def make_app(global_conf):
    return application


def application(environ, start_response):
    start_response("200 OK", [])
    found = [random.random(), OWN.random(), FILE.raw.read(2).decode(), THREAD.is_alive()]
    return [json.dumps(found).encode()]
"""


def test_what_the_table_says_of_generators_files_and_threads(tmp_path: Path) -> None:
    (tmp_path / "things.py").write_text(THINGS)
    app = "paste.app_factory = things:make_app"
    with serve(settings={"workers": "2"}, app=app, env={"PYTHONPATH": str(tmp_path)}, ready=None) as server:
        log = server.wait_for_log("[INFO] Serving ")
        assert "The application started threads while it was loaded (sleeper): they stay in the arbiter" in log
        first, second = (json.loads(answer.body) for answer in ask_each_worker(server).values())
    assert first[0] != second[0]  # Python's own is seeded anew
    assert first[1] == second[1]
    assert {first[2], second[2]} == {"01", "23"}  # one position for all
    assert (first[3], second[3]) == (False, False)
