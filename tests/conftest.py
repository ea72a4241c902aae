"""For all tests: makes `support` importable, shares running servers, shows their logs when a test fails."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from support.server import RUNNING, Server, serve

# Every class that exists: tests that ask for `worker_class`, or for `server`, run once for each, unless their module
# names fewer by `WORKER_CLASSES`: where what they judge is done by arbiter and template, the same for all.
WORKER_CLASSES = ("sync", "threads", "gevent", "eventlet")

LOG_LIMIT = 20_000  # characters of a server's log that are shown, the last ones


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`worker_class`: the kind of worker to test."""
    own = any("worker_class" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if "worker_class" in metafunc.fixturenames and not own:
        classes = getattr(metafunc.module, "WORKER_CLASSES", WORKER_CLASSES)
        metafunc.parametrize("worker_class", classes, scope="module")


@pytest.fixture
def one_at_a_time(worker_class: str) -> None:
    """For what can only be seen where a request that runs keeps all others of its worker waiting."""
    if worker_class != "sync":
        pytest.skip("this class runs requests beside each other")


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, worker_class: str) -> Iterator[Server]:
    """A running server shared by the tests of a module, which may name `SETTINGS` and `APPLICATION`."""
    settings = {"workers": "1", "worker_class": worker_class, **getattr(request.module, "SETTINGS", {})}
    options = {"app": request.module.APPLICATION} if hasattr(request.module, "APPLICATION") else {}
    with serve(settings=settings, **options) as running:
        yield running


@pytest.fixture
def log_start(server: Server) -> int:
    """Where the shared server's log stood when the test began."""
    return len(server.log_text())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the logs of the servers that run to the report of a test that failed."""
    report = yield
    if report.failed:
        for running in RUNNING:
            report.sections.append((f"log of {running.ini}", running.log_text()[-LOG_LIMIT:]))
    return report
