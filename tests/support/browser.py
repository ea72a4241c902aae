"""Headless Chromium, driven over a pipe: open pages, type, look at what they show.

    with browser(tmp_path) as chromium:
        page = chromium.open("http://127.0.0.1:8080/")
        page.type("hello"); page.press_enter()
        page.wait_for("document.title === 'Hello'")

Its DevTools protocol over descriptors 3 and 4: JSON, each message ended by a zero byte.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROGRAM = shutil.which("chromium")
TIMEOUT_S = 30.0

_ABOVE = 10  # numbers that nobody needs in the child
_AT_3_AND_4 = """
import os, sys
os.dup2(int(sys.argv[1]), 3), os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class BrowserProblem(AssertionError):
    """The browser did not do what it was told, or a page never showed what it should."""


class Refused(BrowserProblem):
    """It said that it can't do this, or not now."""


class Browser:
    """One that runs."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = commands
        self._answers = answers
        self._numbers = itertools.count(1)
        self._received = b""

    def call(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        """Give a command, and wait for its result."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._commands, data) :]
        until = time.monotonic() + TIMEOUT_S
        while True:
            answer = self._read(until, method)
            if answer.get("id") == number:
                if "error" in answer:
                    raise Refused(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result

    def _read(self, until: float, method: str) -> dict[str, Any]:
        while b"\0" not in self._received:
            if not select.select([self._answers], [], [], max(0.0, until - time.monotonic()))[0]:
                raise BrowserProblem(f"{method}: no answer in {TIMEOUT_S:g} s")
            data = os.read(self._answers, 1 << 20)
            if not data:
                raise BrowserProblem(f"{method}: the browser has ended")
            self._received += data
        message, _, self._received = self._received.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def open(self, url: str) -> Page:
        """A page of its own, with nothing in common with the others but the browser."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url=url, browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        until = time.monotonic() + TIMEOUT_S
        while not page.has_loaded():
            if time.monotonic() > until:
                raise BrowserProblem(f"{url} has not loaded in {TIMEOUT_S:g} s")
            time.sleep(0.02)
        return page


class Page:
    """What one person looks at."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session

    def evaluate(self, code: str) -> Any:
        """The value of some JavaScript in the page."""
        result = self._browser.call("Runtime.evaluate", self._session, expression=code, returnByValue=True)
        if "exceptionDetails" in result:
            raise BrowserProblem(f"{code}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def has_loaded(self) -> bool:
        """Whether it shows what was asked for; while one document gives way to the next, nothing can be evaluated."""
        with contextlib.suppress(Refused):
            return bool(self.evaluate("location.href !== 'about:blank' && document.readyState === 'complete'"))
        return False

    def wait_for(self, code: str) -> None:
        """Wait until this is true in the page."""
        until = time.monotonic() + TIMEOUT_S
        while not self.evaluate(code):
            if time.monotonic() > until:
                raise BrowserProblem(f"never true: {code}\n{self.evaluate('document.body.innerText')}")
            time.sleep(0.02)

    def type(self, text: str) -> None:
        """Into whatever has the focus."""
        self._browser.call("Input.insertText", self._session, text=text)

    def press_enter(self) -> None:
        for kind in ("keyDown", "keyUp"):
            self._browser.call(
                "Input.dispatchKeyEvent", self._session, type=kind, key="Enter", code="Enter",
                windowsVirtualKeyCode=13, text="\r" if kind == "keyDown" else "",
            )  # fmt: skip

    def mouse(self, kind: str, x: int, y: int) -> None:
        """`kind`: "Pressed", "Moved" (with the button held) or "Released"."""
        self._browser.call(
            "Input.dispatchMouseEvent", self._session, type=f"mouse{kind}", x=x, y=y,
            button="left", buttons=0 if kind == "Released" else 1, clickCount=1,
        )  # fmt: skip

    def choose_files(self, element_id: str, *paths: Path) -> None:
        """As a person does by the dialog of an `<input type="file">`."""
        found = self._browser.call(
            "Runtime.evaluate", self._session, expression=f"document.getElementById({json.dumps(element_id)})"
        )
        files = [str(path) for path in paths]
        self._browser.call("DOM.setFileInputFiles", self._session, files=files, objectId=found["result"]["objectId"])

    def throttle_uploads(self, bytes_per_s: int) -> None:
        """From now on each request sends so much at most, also those on their way; -1: as fast as it goes."""
        self._browser.call("Network.enable", self._session)
        self._browser.call(
            "Network.emulateNetworkConditions", self._session,
            offline=False, latency=0, downloadThroughput=-1, uploadThroughput=bytes_per_s,
        )  # fmt: skip

    def picture(self, path: Path) -> None:
        """What it looks like, as PNG."""
        data = self._browser.call("Page.captureScreenshot", self._session, format="png")["data"]
        path.write_bytes(base64.b64decode(data))


@contextlib.contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Start one that keeps its profile in this folder; it is gone when the `with` ends."""
    assert PROGRAM is not None
    theirs_in, commands = os.pipe()
    answers, theirs_out = os.pipe()
    for_child = [fcntl.fcntl(fd, fcntl.F_DUPFD, _ABOVE) for fd in (theirs_in, theirs_out)]
    options = [
        "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage",
        "--remote-debugging-pipe", f"--user-data-dir={folder / 'profile'}", "about:blank",
    ]  # fmt: skip
    command = [sys.executable, "-c", _AT_3_AND_4, *map(str, for_child), PROGRAM, *options]
    with (folder / "browser.log").open("wb") as log:
        process = subprocess.Popen(
            command, pass_fds=for_child, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            env={**os.environ, "HOME": str(folder)},
        )  # fmt: skip
    for fd in (theirs_in, theirs_out, *for_child):
        os.close(fd)
    try:
        running = Browser(commands, answers)
        yield running
        with contextlib.suppress(BrowserProblem, OSError):
            running.call("Browser.close")
    finally:
        for fd in (commands, answers):
            os.close(fd)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
