"""``egg:gunicorn#upload_progress``: what the filter answers itself, and what it leaves to the application."""

from __future__ import annotations

import json
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from paste_unicorn.plugins.dotted import ApplicationProblem
from paste_unicorn.plugins.upload_progress import make_filter
from paste_unicorn.scoreboard.uploads import UploadReading, UploadState

ID = "0123456789abcdef"
KNOWN = {
    ID: UploadReading(UploadState.UPLOADING, 1.0, 5, 12),
    "chunked-on-its-way": UploadReading(UploadState.UPLOADING, 1.0, 5, -1),
    "chunked-and-whole": UploadReading(UploadState.DONE, 1.0, 7, -1),
    "sized-and-broken-off": UploadReading(UploadState.ERROR, 1.0, 5, 12),
}


def site(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"the site"]


def ask(path: str, query: str = "", find: Any = lambda name: KNOWN.get(name.decode()), **more: str) -> Any:
    """Status, fields and body."""
    environ: dict[str, Any] = {"PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": "GET"}
    if find is not None:
        environ["gunicorn.uploads"] = find
    setup_testing_defaults(environ)
    environ.update(more, SCRIPT_NAME="")
    started: list[Any] = []
    application = validator(make_filter({})(site))

    def start(status: str, fields: list[tuple[str, str]], exc_info: Any = None) -> Any:
        started.extend((status, dict(fields)))
        return bytes

    returned = application(environ, start)
    body = b"".join(returned)
    returned.close()
    return (*started, body)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (ID, {"state": "uploading", "received": 5, "size": 12}),
        ("chunked-on-its-way", {"state": "uploading", "received": 5, "size": None}),
        ("chunked-and-whole", {"state": "done", "received": 7, "size": 7}),
        ("sized-and-broken-off", {"state": "error", "received": 5, "size": 12}),
        ("nobody-has-seen-it", {"state": "starting", "received": 0, "size": None}),
    ],
)
def test_it_says_what_the_server_knows(name: str, said: dict[str, object]) -> None:
    status, fields, body = ask("/progress", f"X-Progress-ID={name}")
    assert (status, json.loads(body)) == ("200 OK", said)
    assert fields == {
        "Content-Type": "application/json", "Content-Length": str(len(body)), "Cache-Control": "no-store",
    }  # fmt: skip
    assert ask("/progress", HTTP_X_PROGRESS_ID=name) == (status, fields, body)
    assert ask("/progress", f"X-Progress-ID={name}", REQUEST_METHOD="HEAD") == (status, fields, b"")


@pytest.mark.parametrize("query", ["", "X-Progress-ID=1", "id=0123456789abcdef"])
def test_without_a_good_id_it_says_which_is_good(query: str) -> None:
    status, _, body = ask("/progress", query)
    assert status == "400 Bad Request"
    assert b"16 to 32 letters" in body


def test_another_method_is_refused() -> None:
    status, fields, _ = ask("/progress", f"X-Progress-ID={ID}", REQUEST_METHOD="POST")
    assert (status, fields["Allow"]) == ("405 Method Not Allowed", "GET, HEAD")


def test_under_another_server_it_says_so() -> None:
    assert ask("/progress", f"X-Progress-ID={ID}", find=None)[0] == "501 Not Implemented"


@pytest.mark.parametrize("path", ["/", "/progress/", "/progress/x", "/PROGRESS", "/a/progress"])
def test_all_else_is_the_applications(path: str) -> None:
    assert ask(path, f"X-Progress-ID={ID}")[2] == b"the site"


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"path": "progress"}, 'path: "progress" does not begin with a slash'),
        ({"pth": "/p"}, 'pth: egg:gunicorn#upload_progress knows no such key; did you mean "path"'),
    ],
)
def test_a_wrong_section_is_refused(section: dict[str, str], said: str) -> None:
    with pytest.raises(ApplicationProblem, match=said):
        make_filter({}, **section)
