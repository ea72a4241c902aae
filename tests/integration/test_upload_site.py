"""The upload page: its bars show what the server has received, in the page that sends and in one that only looks on."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from integration.conftest import Sample
from support.browser import PROGRAM, Page, browser
from support.server import Server, serve, wait_for

ID = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def harbour(samples: Callable[[str], Sample]) -> Iterator[Server]:
    upload = samples("upload.ini")
    with serve(upload.ini, port=upload.port) as server:
        yield server


def test_it_says_what_it_got(harbour: Server) -> None:
    body = b"0123456789" * 300_000
    answer = harbour.get(f"/files?X-Progress-ID={ID}", method="POST", body=body)
    got = json.loads(answer.body)
    assert (got["size"], got["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
    done = {"state": "done", "received": len(body), "size": len(body)}  # said a moment after the answer has left
    wait_for(lambda: json.loads(harbour.get(f"/progress?X-Progress-ID={ID}").body) == done, f"{done}")


def test_the_upload_page_and_its_files_are_there(harbour: Server) -> None:
    page = harbour.get("/").body.decode()
    for name in re.findall(r'(?:href|src)="(upload[^"]*)"', page):
        assert harbour.get(f"/{name}").status == 200
    ids = set(re.findall(r'(?<!\.)get\("([^"]+)"\)', harbour.get("/upload.js").body.decode()))
    assert ids <= set(re.findall(r'id="([^"]+)"', page))
    assert harbour.get("/files").status == 405
    assert harbour.get("/else").status == 404


def shown(page: Page, what: str) -> str:
    value = page.evaluate(f"document.querySelector('.upload {what}').textContent")
    assert isinstance(value, str)
    return value


@pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed")
def test_the_bar_grows_where_one_sends_and_where_another_looks_on(harbour: Server, tmp_path: Path) -> None:
    """The upload is so slow that it can't end before both have seen enough; then it may hurry."""
    address = f"http://127.0.0.1:{harbour.port}/"
    file = tmp_path / "The <b>voyage of the Fram.mp4"
    file.write_bytes(b"fram" * 2_500_000)
    with browser(tmp_path) as chromium:
        sender = chromium.open(address)
        sender.throttle_uploads(150_000)
        sender.choose_files("files", file)
        sender.wait_for("document.querySelector('.upload .watch') !== null")
        link = sender.evaluate("document.querySelector('.upload .watch').getAttribute('href')")
        looker = chromium.open(address + link)
        seen: dict[Page, set[float]] = {sender: set(), looker: set()}

        def have_seen_enough() -> bool:
            for page, values in seen.items():
                value = page.evaluate("document.querySelector('.upload progress').value")
                if 0 < value < 100:
                    values.add(value)
            return all(len(values) >= 5 for values in seen.values())

        wait_for(have_seen_enough, "five values between nothing and all, in both pages", 30)
        for page in seen:
            assert "of 10.0 MB" in shown(page, ".said")
        sender.throttle_uploads(-1)
        for page in seen:
            page.wait_for("document.querySelector('.upload').dataset.state === 'done'")
            assert shown(page, ".name") == file.name
            assert page.evaluate("document.querySelector('.upload .name').children.length") == 0
        assert hashlib.sha256(file.read_bytes()).hexdigest()[:16] in shown(sender, ".said")
        assert "10.0 MB have arrived" in shown(looker, ".said")


@pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed")
def test_several_files_take_turns_and_one_that_is_cancelled_ends(harbour: Server, tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.bin" for number in range(5)]
    for file in files:
        file.write_bytes(bytes(3_000_000))
    with browser(tmp_path) as chromium:
        page = chromium.open(f"http://127.0.0.1:{harbour.port}/")
        page.throttle_uploads(50_000)
        page.choose_files("files", *files)
        # The newest stands first.
        page.wait_for(
            "[...document.querySelectorAll('.upload')].map((one) => one.dataset.state).join() === "
            "'waiting,waiting,uploading,uploading,uploading'"
        )
        looker = chromium.open(
            f"http://127.0.0.1:{harbour.port}/"
            + page.evaluate("document.querySelector('.upload:last-child .watch').getAttribute('href')")
        )
        looker.wait_for("document.querySelector('.upload').dataset.state === 'uploading'")
        page.evaluate("document.querySelector('.upload:last-child .cancel').click()")
        page.evaluate("document.querySelector('.upload:first-child .cancel').click()")
        looker.wait_for("document.querySelector('.upload').dataset.state === 'error'")
        assert "broken off after" in shown(looker, ".said")
        page.throttle_uploads(-1)
        page.wait_for(
            "[...document.querySelectorAll('.upload')].map((one) => one.dataset.state).join() === "
            "'error,done,done,done,error'"
        )
