"""Starts a real server under a real runner, waits until it answers, and sees that nothing of it is left over.

    with serve(settings={"workers": "2"}) as server:
        answer = server.get("/hello")

A server runs in a temporary folder and a session of its own. What it prints goes to a file (`log_text`),
which is shown when a test fails (`tests/conftest.py`). It is ended by its pid; a process that outlives it
fails the test.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from support.client import Address, Answer, Client, request_bytes
from support.ports import free_port
from support.processes import MARK, Process, belonging, send_signal, wait_until_gone

Found = TypeVar("Found")

TESTS = Path(__file__).resolve().parent.parent
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0
PATIENCE_S = 20.0  # for whatever should happen at once, on a machine that is busy
KEEPALIVE_S = 60  # a client of a test may stand still between two requests
OUTPUT = "output.log"
APPLICATION = "paste.app_factory = support.apps:make_app"

RUNNING: list[Server] = []  # servers whose log is shown when a test fails


class ServerProblem(AssertionError):
    """The server did not start, did not end, or left something behind; the text holds its log."""


class Server:
    """A server that was started: where it listens, what it prints, which processes it has."""

    def __init__(self, popen: subprocess.Popen[bytes], address: Address, directory: Path, ini: Path, mark: str) -> None:
        self.popen = popen
        self.pid = popen.pid  # of the runner, which is the arbiter (unless daemonized)
        self.address = address
        self.directory = directory
        self.ini = ini
        self.log = directory / OUTPUT
        self.mark = mark

    @property
    def port(self) -> int:
        """The TCP port; an assertion error for a server on a Unix socket."""
        assert isinstance(self.address, tuple), self.address
        return self.address[1]

    def log_text(self) -> str:
        """All that the server printed so far, on both streams."""
        return self.log.read_text(errors="replace")

    def wait_for_log(self, text: str, timeout_s: float = PATIENCE_S, after: int = 0) -> str:
        """Wait until `text` is in the log behind its first `after` characters; gives what is behind them."""
        wait_for(lambda: text in self.log_text()[after:], f"{text!r} in the log", timeout_s)
        return self.log_text()[after:]

    def processes(self) -> list[Process]:
        """Every process of this server that lives now."""
        return belonging(self.pid, self.mark, self.directory)

    def titled(self, start: str) -> list[Process]:
        """Those whose title starts so, for example "unicorn: worker".

        Without workers that were forked a moment ago, and still have their template's.
        """
        processes = self.processes()
        templates = {process.pid for process in processes if process.title.startswith("unicorn: template")}
        return [
            process
            for process in processes
            if process.title.startswith(start) and not (process.pid in templates and process.parent in templates)
        ]

    def connect(self, timeout_s: float = 10.0) -> Client:
        """A new connection; use it in a `with`."""
        return Client(self.address, timeout_s)

    def ask(self, data: bytes, method: str = "GET") -> Answer:
        """Send these bytes on a new connection, and give the first answer."""
        with self.connect() as client:
            client.send(data)
            return client.read_answer(method)

    def get(self, target: str, *fields: tuple[str, str], method: str = "GET", body: bytes = b"") -> Answer:
        """An ordinary request on a connection of its own."""
        return self.ask(request_bytes(method, target, fields, body), method)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the arbiter."""
        send_signal(self.pid, number)

    def wait(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Wait until the runner's process has ended; its exit code."""
        try:
            return self.popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            problem = f"process {self.pid} did not end in {timeout_s:g} s\n{self.report()}"
            raise ServerProblem(problem) from None

    def report(self) -> str:
        """Processes and log, for a person who has to find out what happened."""
        processes = [f"  {p.pid} (of {p.parent}) {p.state} {p.title}\n" for p in self.processes()]
        return f"processes:\n{''.join(processes) or '  none'}\nlog of {self.ini}:\n{self.log_text()}"

    def stop(self) -> None:
        """TERM, then see that everything is gone. Raises ServerProblem, after killing, where it isn't."""
        problem = ""
        if self.popen.poll() is None:
            self.signal(signal.SIGTERM)
            try:
                self.popen.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                problem = f"process {self.pid} did not end {STOP_TIMEOUT_S:g} s after TERM\n{self.report()}"
        left = wait_until_gone([process.pid for process in self.processes()], 10.0)
        if left and not problem:
            problem = f"processes were left behind: {left}\n{self.report()}"
        for pid in left:
            send_signal(pid, signal.SIGKILL)
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()
        if problem:
            raise ServerProblem(problem)


@contextlib.contextmanager
def serve(
    ini: str | Path | None = None,
    *,
    settings: Mapping[str, str] | None = None,
    app: str = APPLICATION,
    runner: str = "paster",
    args: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    port: int | None = None,
    ready: str | None = "/",
    daemon: bool = False,
    part: str = "",
    prefix: Sequence[str] = (),
    programs: Path | None = None,
) -> Iterator[Server]:
    """Serve an application under one of the runners (`paster`, `pserve`, `gearbox`), until the `with` ends.

    `ini` is a file, used where it lies, or the text of one, in which {port} and {directory} are filled in.
    Without it there are a [server:main] with `settings`, in which connections are kept for long unless they say
    otherwise, and an [app:main] with the lines of `app`. `port`: where a file's server will listen. `ready` is a path
    that is asked until it is answered, with whatever status; None: nothing is waited for. With `daemon` the runner's
    own process is expected to end.
    `part` follows the ini's name on the command line, as in `test.ini#site`. `prefix` is a command that starts another
    one, as `nice` does. `programs` is the folder of the runner, where it is not that of the Python that runs the tests.
    """
    port = port or free_port()
    directory = Path(tempfile.mkdtemp(prefix="unicorn-test-")).resolve()
    directory.chmod(0o755)  # for servers that run as somebody else
    mark = uuid.uuid4().hex
    try:
        path = _write_ini(ini, settings or {}, app, directory, port)
        with (directory / OUTPUT).open("wb") as output:
            popen = subprocess.Popen(
                [*prefix, *command(runner, f"{path}{part}", args, programs)],
                cwd=directory,
                env=environment(mark, env or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_us,
            )
        address: Address = ("127.0.0.1", port)
        bind = (settings or {}).get("bind", "").replace("{directory}", str(directory))
        if bind.startswith("unix:"):
            address = bind.removeprefix("unix:")
        server = Server(popen, address, directory, path, mark)
        RUNNING.append(server)
        try:
            if ready is not None:
                _wait_until_it_answers(server, ready, daemon)
            yield server
        finally:
            try:
                server.stop()
            finally:
                RUNNING.remove(server)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _end_with_us() -> None:
    """In the child: be told (TERM) when the process that runs the tests is gone, however it went. Linux alone can."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG; it lasts over exec, not over fork


def _write_ini(ini: str | Path | None, settings: Mapping[str, str], app: str, directory: Path, port: int) -> Path:
    if isinstance(ini, Path):
        return ini
    if ini is None:
        rows = {"bind": "127.0.0.1:{port}", "keepalive": str(KEEPALIVE_S), **settings}
        section = "\n".join(f"{name} = {value}" for name, value in rows.items())
        ini = f"[server:main]\nuse = egg:gunicorn#main\n{section}\n\n[app:main]\n{app}\n"
    path = directory / "test.ini"
    path.write_text(ini.replace("{port}", str(port)).replace("{directory}", str(directory)))
    return path


def command(runner: str, ini: Path | str, args: Sequence[str] = (), programs: Path | None = None) -> list[str]:
    """The command line of a runner, out of the environment that runs the tests or of another one."""
    program = str((programs or Path(sys.executable).parent) / runner)
    if runner == "paster":
        return [program, "serve", str(ini), *args]
    if runner == "pserve":
        return [program, str(ini), *args]
    if runner == "gearbox":
        return [program, "serve", "-c", str(ini), *args]
    raise ValueError(f"no such runner: {runner}")


def environment(mark: str, extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of a server: ours, test applications importable, a mark to know its processes by.

    A PYTHONPATH of `extra` comes before ours, so that the server under test is the one that the tests were told of; an
    empty one leaves nothing of ours.
    """
    given = extra.get("PYTHONPATH")
    paths = [] if given == "" else [given, str(TESTS), os.environ.get("PYTHONPATH")]
    python_path = os.pathsep.join(path for path in paths if path)
    return {**os.environ, "PYTHONUNBUFFERED": "1", MARK: mark, **extra, "PYTHONPATH": python_path}


def _wait_until_it_answers(server: Server, path: str, daemon: bool) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if server.popen.poll() is not None and not daemon:
            code = server.popen.returncode
            raise ServerProblem(f"the runner ended with exit code {code}\n{server.report()}")
        try:
            with server.connect(timeout_s=5.0) as client:
                client.send(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
                if client.read_some():
                    return
        except OSError:
            pass
        time.sleep(0.02)
    raise ServerProblem(f"no answer in {START_TIMEOUT_S:g} s\n{server.report()}")


def wait_for(condition: Callable[[], Found], what: str, timeout_s: float = PATIENCE_S) -> Found:
    """Wait until something is true, and give it. The time is a bound against hanging, not a thing that is tested."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        if time.monotonic() > deadline:
            logs = "\n".join(server.report() for server in RUNNING)
            raise AssertionError(f"after {timeout_s:g} s still not: {what}\n{logs}")
        time.sleep(0.01)
    return found


def run_to_end(
    ini: str,
    *,
    runner: str = "paster",
    args: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    timeout_s: float = 30.0,
) -> tuple[int, str]:
    """Run a server that is expected to end by itself (a wrong ini): exit code, and all that it printed."""
    directory = Path(tempfile.mkdtemp(prefix="unicorn-test-")).resolve()
    mark = uuid.uuid4().hex
    try:
        path = _write_ini(ini, {}, APPLICATION, directory, free_port())
        with (directory / OUTPUT).open("wb") as output:
            popen = subprocess.Popen(
                command(runner, path, args), cwd=directory, env=environment(mark, env or {}), start_new_session=True,
                preexec_fn=_end_with_us, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
            server = Server(popen, ("127.0.0.1", 0), directory, path, mark)
            try:
                return server.wait(timeout_s), server.log_text()
            finally:
                server.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
