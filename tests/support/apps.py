"""Small WSGI applications, chosen by the first part of the path; wsgiref.validate judges most of them.

The most used one, `/answer`, does what the JSON in its query says (see `Script`), so that a test's table is
the table of what an application may do. `/events` tells what was recorded under a key: so a test sees what
happened inside.
"""

from __future__ import annotations

import ctypes
import gzip
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote
from wsgiref.validate import validator

Environ = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

EVENTS: dict[str, list[str]] = {}  # in this process: tests that look at them run one worker
FILES: dict[str, Any] = {}  # those that were sent under a key
PLAIN = ("Content-Type", "text/plain; charset=utf-8")


def make_app(global_conf: dict[str, str], **local_conf: str) -> Application:
    """`paste.app_factory`."""
    return application


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Finds the application for a path."""
    name = environ["PATH_INFO"].lstrip("/").partition("/")[0]
    return APPLICATIONS.get(name, not_found)(environ, start_response)


def query(environ: Environ) -> dict[str, str]:
    """The query's parameters; the last one of a name."""
    return dict(parse_qsl(environ["QUERY_STRING"], keep_blank_values=True))


def record(key: str, event: str) -> None:
    """Remember that something happened, for `/events?key`."""
    EVENTS.setdefault(key, []).append(event)


def reply(start_response: StartResponse, body: bytes, *fields: tuple[str, str]) -> list[bytes]:
    """An ordinary answer."""
    start_response("200 OK", [PLAIN, ("Content-Length", str(len(body))), *fields])
    return [body]


def reply_json(start_response: StartResponse, value: object) -> list[bytes]:
    """An answer that the test reads with `json.loads`."""
    body = json.dumps(value).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


# -- plain ones --------------------------------------------------------------------------------------------


def ready(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return reply(start_response, b"ready\n")


def not_found(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    body = f"no application for {environ['PATH_INFO']!r}\n".encode()
    start_response("404 Not Found", [PLAIN, ("Content-Length", str(len(body)))])
    return [body]


def events(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return reply_json(start_response, EVENTS.get(environ["QUERY_STRING"], []))


def show_environ(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The environ: name to [type, value as text]."""
    return reply_json(start_response, {name: [type(v).__name__, str(v)] for name, v in environ.items()})


def pid(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return reply(start_response, str(os.getpid()).encode())


def write_error(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Writes the query to `wsgi.errors`."""
    environ["wsgi.errors"].write(unquote(environ["QUERY_STRING"]) + "\n")
    environ["wsgi.errors"].writelines(["line one\n", "line two\n"])
    environ["wsgi.errors"].flush()
    return reply(start_response, b"written\n")


def big(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """`/big?size=N`: that many bytes with a length, in blocks of 64 KiB."""
    size = int(query(environ)["size"])
    start_response("200 OK", [PLAIN, ("Content-Length", str(size))])
    block = b"x" * 65536
    return (block[: min(65536, size - at)] for at in range(0, size, 65536))


def many_fields(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """`/many-fields?count=N`: an answer of very many fields."""
    return reply(start_response, b"many\n", *[(f"X-{n}", "v") for n in range(int(query(environ)["count"]))])


def wait_for_file(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """`/wait-for-file?path=P`: until the file exists (30 s at most); with `&alone` no greenlet runs beside it.

    Meanwhile its pid is in `P.waiting`.
    """
    given = query(environ)
    path = Path(given["path"])
    begun = path.with_suffix(".begun")
    begun.write_text(str(os.getpid()))
    begun.rename(path.with_suffix(".waiting"))
    for _ in range(3000):
        if path.exists():
            return reply(start_response, b"it is there\n")
        if "alone" in given:
            ctypes.CDLL(None).usleep(10_000)
        else:
            time.sleep(0.01)
    return reply(start_response, b"it never came\n")


def two_parts(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """`/two-parts?path=P`: one block, and a second one when the file exists (30 s at most)."""
    path = Path(query(environ)["path"])
    start_response("200 OK", [PLAIN])

    def blocks() -> Iterator[bytes]:
        yield b"one "
        for _ in range(3000):
            if path.exists():
                break
            time.sleep(0.01)
        yield b"two"

    return blocks()


def hints(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """103 before the answer, from `wsgi.early_hints`."""
    environ["wsgi.early_hints"]([("Link", "</style.css>; rel=preload; as=style")])
    environ["wsgi.early_hints"]([("Link", "</script.js>; rel=preload; as=script")])
    return reply(start_response, b"hinted\n")


# -- request bodies ----------------------------------------------------------------------------------------


def echo(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The request's body."""
    body = b"".join(iter(lambda: environ["wsgi.input"].read(65536), b""))
    return reply(start_response, body)


def ignore(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answers without reading the request's body."""
    return reply(start_response, b"ignored\n")


def swallow(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Reads the body, and takes what the read raises for its own to answer, as frameworks do."""
    try:
        return reply(start_response, b"%d\n" % len(environ["wsgi.input"].read(10_000)))
    except OSError:
        return reply(start_response, b"swallowed\n")


def count(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """How many bytes the body has; records what a read raised under the query's key."""
    key, total = environ["QUERY_STRING"], 0
    record(key, "called")
    try:
        while piece := environ["wsgi.input"].read(8192):
            total += len(piece)
            record(key, "read")
    except BaseException as error:
        record(key, f"raised {type(error).__name__} after {total}: {isinstance(error, OSError)}")
        raise
    record(key, f"complete {total}")
    return reply(start_response, str(total).encode())


def read(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """`/read?op&op=N...`: does these things with `wsgi.input`, answers with what each gave."""
    stream: Any = environ["wsgi.input"]
    results: list[Any] = []
    for name, argument in parse_qsl(environ["QUERY_STRING"], keep_blank_values=True):
        numbers = [int(number) for number in argument.split(",") if number]
        if name == "iterate":
            result: Any = list(stream)
        elif name == "next":
            result = next(iter(stream), None)
        elif name == "terminated":
            result = environ.get("wsgi.input_terminated")
        elif name == "type":
            result = type(stream).__name__
        else:
            result = getattr(stream, name)(*numbers)
        results.append(_as_text(result))
    return reply_json(start_response, results)


def _as_text(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return [_as_text(item) for item in value] if isinstance(value, list) else value


def converse(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answers each line of the body as soon as it is there, in capitals."""
    start_response("200 OK", [PLAIN])
    return (line.upper() for line in iter(environ["wsgi.input"].readline, b""))


def write_then_read(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Begins its answer, by write(), before it reads the body."""
    write = start_response("200 OK", [PLAIN])
    write(b"before ")
    return [environ["wsgi.input"].read(100)]


# -- files -------------------------------------------------------------------------------------------------


def send_file(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """`/send-file?kind=&size=&read=&seek=&length=&key=`: numbered lines through `wsgi.file_wrapper`."""
    given = query(environ)
    content = numbered_lines(int(given.get("size", "100000")))
    file = _open_file(given.get("kind", "buffered"), content)
    if "seek" in given:
        file.seek(int(given["seek"]))
    if "read" in given:
        file.read(int(given["read"]))
    if given.get("kind") == "custom":
        file = ReadOnly(file)
    FILES[given.get("key", "")] = file
    fields = [PLAIN] + ([("Content-Length", given["length"])] if "length" in given else [])
    start_response(given.get("status", "200 OK"), fields)
    if given.get("kind") == "unwrapped":
        return iter(lambda: file.read(8192), b"")
    wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file, int(given.get("block", "8192")))
    return wrapped


def is_closed(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Whether the file that was sent under a key has been closed."""
    return reply_json(start_response, FILES[environ["QUERY_STRING"]].closed)


def numbered_lines(size: int) -> bytes:
    """`size` bytes of which each part can be told from the others."""
    return b"".join(b"%09d\n" % number for number in range(size // 10 + 1))[:size]


class ReadOnly:
    """A file-like object with nothing but `read` and `close`."""

    closed = False

    def __init__(self, file: Any) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._file.read(size)
        return data

    def close(self) -> None:
        self.closed = True
        self._file.close()


def _open_file(kind: str, content: bytes) -> Any:
    if kind == "bytesio":
        return io.BytesIO(content)
    if kind == "proc":  # a regular file, of which the kernel says that it has no byte
        return open("/proc/version", "rb")
    temporary: Any = tempfile.TemporaryFile(buffering=0 if kind == "raw" else -1)  # noqa: SIM115
    temporary.write(content)
    temporary.flush()
    temporary.seek(0)
    if kind == "gzip":
        packed = tempfile.TemporaryFile()  # noqa: SIM115
        with gzip.GzipFile(fileobj=packed, mode="wb") as archive:
            archive.write(content)
        packed.seek(0)
        return gzip.GzipFile(fileobj=packed, mode="rb")
    if kind == "pipe":
        reader, writer = os.pipe()
        if os.fork() == 0:
            with open(writer, "wb") as pipe:
                pipe.write(content)
            os._exit(0)
        os.close(writer)
        return open(reader, "rb")
    return temporary


# -- the application that does what it is told -------------------------------------------------------------


class Script:
    """What `/answer` is told, as JSON in the query. Every key is optional.

    status, fields     given to start_response (status null: it is not called)
    fields_as          the container of the fields: list, tuple, none
    blocks, kind       the body, and the kind of iterable that it comes in: list, tuple, generator, iterator,
                       sequence (`__getitem__` alone), custom (with close), sized (with `__len__`), late
                       (calls start_response only when iterated), text (str in place of bytes); what is no such
                       iterable: string (bytes), characters (str), mapping, number, none
    write              blocks given to write() before
    error, at          name of an exception, and where: call, start, iter, first (item), then (second item),
    end, close again, with        second start_response: [status, fields]; with "exc_info" or "nothing"
    again_at           "call": before the application returns; "first": after the first item
    hints              fields given to `wsgi.early_hints` first
    key                under which calls and closes are recorded
    """

    def __init__(self, environ: Environ, start_response: StartResponse) -> None:
        self.told: dict[str, Any] = json.loads(unquote(environ["QUERY_STRING"]) or "{}")
        self.start_response = start_response
        self.early_hints = environ.get("wsgi.early_hints")
        self.key = self.told.get("key", "")
        self.blocks: list[bytes] = [block.encode("latin-1") for block in self.told.get("blocks", ["hello\n"])]

    def run(self) -> Any:
        self.record("call")
        self.maybe_raise("call")
        kind = self.told.get("kind", "list")
        if kind == "late":
            return self.produce(late=True)
        self.start()
        if kind in ("list", "tuple"):
            return list(self.blocks) if kind == "list" else tuple(self.blocks)
        if kind == "generator":
            return self.produce()
        if kind == "iterator":
            return iter(self.blocks)
        if kind == "string":
            return b"".join(self.blocks)
        if kind == "text":
            return [block.decode("latin-1") for block in self.blocks]
        wrong: dict[str, Any] = {"characters": "hello\n", "mapping": {"hello": b"you"}, "number": 200, "none": None}
        if kind in wrong:
            return wrong[kind]
        classes: dict[str, Any] = {"sequence": Sequence, "custom": Custom, "sized": Sized}
        iterable: Iterable[bytes] = classes[kind](self)
        return iterable

    def start(self) -> None:
        if "hints" in self.told and self.early_hints is not None:
            self.early_hints([tuple(field) for field in self.told["hints"]])
        status = self.told.get("status", "200 OK")
        if status is not None:
            fields = [tuple(_decode(part) for part in field) for field in self.told.get("fields", [PLAIN])]
            write = self.start_response(_decode(status), self.shaped(fields))
            for block in self.told.get("write", ()):
                write(block.encode("latin-1"))
        if self.told.get("again_at", "call") == "call":
            self.start_again()
        self.maybe_raise("start")

    def shaped(self, fields: list[Any]) -> Any:
        """PEP 3333 wants a list; a test may want something else."""
        kind = self.told.get("fields_as", "list")
        return None if kind == "none" else tuple(fields) if kind == "tuple" else fields

    def start_again(self) -> None:
        if "again" not in self.told:
            return
        status, fields = self.told["again"]
        fields = [tuple(field) for field in fields]
        if self.told.get("info", "exc_info") == "nothing":
            self.start_response(status, fields)
            return
        try:
            raise LookupError("the application's own trouble")
        except LookupError:
            self.start_response(status, fields, sys.exc_info())

    def produce(self, late: bool = False) -> Iterator[bytes]:
        try:
            if late:
                self.start()
            self.maybe_raise("first")
            for number, block in enumerate(self.blocks):
                if number == 1:
                    self.maybe_raise("then")
                    if self.told.get("again_at") == "first":
                        self.start_again()
                yield block
            self.maybe_raise("end")
        finally:
            self.record("close")
            self.maybe_raise("close")

    def maybe_raise(self, at: str) -> None:
        if self.told.get("at", "call") == at and "error" in self.told:
            name = self.told["error"]
            if name == "exit":
                sys.exit(self.told.get("code"))
            raise EXCEPTIONS[name]("raised on purpose")

    def record(self, event: str) -> None:
        if self.key:
            record(self.key, event)


class Own(BaseException):
    """Neither Exception nor one of the three that the interpreter knows."""


EXCEPTIONS: dict[str, type[BaseException]] = {
    error.__name__: error
    for error in (
        ValueError, OSError, ConnectionResetError, BrokenPipeError, BlockingIOError, InterruptedError,
        TimeoutError, StopIteration, MemoryError, RecursionError, KeyboardInterrupt, SystemExit,
        GeneratorExit, Own,
    )
}  # fmt: skip


class Sequence:
    """Iterable by `__getitem__` alone."""

    def __init__(self, script: Script) -> None:
        self._blocks: list[bytes] = script.blocks

    def __getitem__(self, index: int) -> bytes:
        return self._blocks[index]


class Custom:
    """An iterator of its own, with close()."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._iterator = iter(script.blocks)
        self._number = 0

    def __iter__(self) -> Custom:
        self._script.maybe_raise("iter")
        return self

    def __next__(self) -> bytes:
        if self._number < 2:
            self._script.maybe_raise(("first", "then")[self._number])
        self._number += 1
        block: bytes = next(self._iterator)
        return block

    def close(self) -> None:
        self._script.record("close")
        self._script.maybe_raise("close")


class Sized(Custom):
    """The same, with a length: how many blocks (PEP 3333 lets a server use that)."""

    def __len__(self) -> int:
        return len(self._script.blocks)


def _decode(value: Any) -> Any:
    """{"bytes": "x"} stands for a byte string, which JSON doesn't have."""
    return value["bytes"].encode() if isinstance(value, dict) else value


def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    returned: Iterable[bytes] = Script(environ, start_response).run()
    return returned


VALIDATED: dict[str, Application] = {
    "": ready,
    "events": events,
    "environ": show_environ,
    "pid": pid,
    "write-error": write_error,
    "big": big,
    "many-fields": many_fields,
    "wait-for-file": wait_for_file,
    "two-parts": two_parts,
    "is-closed": is_closed,
    "echo": echo,
    "ignore": ignore,
    "swallow": swallow,
    "count": count,
    "converse": converse,
    "write-then-read": write_then_read,
    "valid-answer": answer,
    "valid-not-found": not_found,
}
UNJUDGED: dict[str, Application] = {
    "hints": hints,
    "answer": answer,
    "raw-environ": show_environ,
    "read": read,
    "send-file": send_file,
}
APPLICATIONS: dict[str, Application] = {
    **{name: validator(app) for name, app in VALIDATED.items()},
    **UNJUDGED,
}
