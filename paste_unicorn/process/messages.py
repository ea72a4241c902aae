"""The vocabulary: every message between arbiter, template and worker, a line each.

Small JSON objects that a `Channel` carries; descriptors travel beside them. Nothing acts here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias, get_args

LONGEST_REASON = 16_000  # characters


@dataclass(frozen=True)
class Recipe:
    """The arguments with which the runner loaded the application, so that it can be loaded again just so.

    `variables` are those of the command line only. The `global_conf` that a server is given also holds the
    `[DEFAULT]` values of the last start, which would win over those of a changed ini.
    """

    uri: str
    name: str | None
    relative_to: str | None
    variables: dict[str, str]


@dataclass(frozen=True)
class Origin:
    """Where all came from, so that it can be loaded again."""

    recipe: Recipe | None  # of the application; None where nobody knows
    server: Recipe | None  # of the server's section; None where there is no file
    ini_path: str | None
    section: str  # of the server, for people
    local_conf: dict[str, str]  # its settings at the start, as texts
    cwd: str  # when the server was started, before `chdir`
    umask: int  # the same, before `umask`
    sys_path: tuple[str, ...]  # before `pythonpath`
    environ: dict[str, str]  # before `raw_env`


@dataclass(frozen=True)
class Inherited:
    """A listening socket that another arbiter opened."""

    asked: str  # the address as the settings wrote it
    address: str
    server_name: str
    server_port: str
    is_unix: bool
    is_ours: bool  # not handed to us by somebody who goes on holding it
    path: str
    inode: tuple[int, int]  # of the path


# -- arbiter to template -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Load:
    """The first message to an exec'ed template; descriptors: life pipe, scoreboard, reports, the hand-off pair."""

    generation: int
    origin: Origin
    python_path: str | None  # PYTHONPATH as it was; the exec needed another one
    reloading: bool  # a reloader of the runner wants to know which files are imported


@dataclass(frozen=True)
class Equip:
    """The listeners, as descriptors beside it: address, server name, server port, whether a Unix socket."""

    listeners: tuple[tuple[str, str, str, bool], ...]


@dataclass(frozen=True)
class Succeed:
    """The first message to a new arbiter beside an old one; descriptors: the hand-off pair, then the listeners."""

    origin: Origin
    listeners: tuple[Inherited, ...]
    pid_files: tuple[str, ...]  # to be taken over
    python_path: str | None


@dataclass(frozen=True)
class Fork:
    """Fork a worker into this slot; it is the `age`-th of this arbiter."""

    slot: int
    age: int


@dataclass(frozen=True)
class ReopenLogs:
    """The log files were rotated."""


@dataclass(frozen=True)
class End:
    """There is nothing more to fork: leave."""


# -- template to arbiter -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Loaded:
    """The application is there, workers can be forked; with the server's settings as texts, where they were read
    again.
    """

    local_conf: dict[str, str] | None


@dataclass(frozen=True)
class Serving:
    """A new arbiter to the old one: all its workers are ready. `keeps` are the positions of the listeners that it was
    given and still has: its ini may name others.
    """

    pid: int
    keeps: tuple[int, ...]


@dataclass(frozen=True)
class Failed:
    """The application could not be loaded; `reason` is a traceback or a list of problems."""

    reason: str


@dataclass(frozen=True)
class Forked:
    slot: int
    pid: int


@dataclass(frozen=True)
class ForkFailed:
    slot: int
    reason: str


@dataclass(frozen=True)
class Exited:
    """A worker is gone; `status` is that of `os.waitpid`."""

    slot: int
    pid: int
    status: int


# -- between two arbiters, in either direction ---------------------------------------------------------------


@dataclass(frozen=True)
class Stopping:
    """This one stops. Both a question, whether the other one goes on with the sockets, and the answer that it does
    not.
    """


@dataclass(frozen=True)
class GoesOn:
    """This one does."""


# -- worker to arbiter ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ready:
    """This worker accepts connections. Says all by itself: its template may have died before it could report
    it.
    """

    slot: int
    generation: int
    pid: int


@dataclass(frozen=True)
class Stillborn:
    """This worker ends before it was ready; `reason` is a traceback."""

    pid: int
    reason: str


@dataclass(frozen=True)
class Tired:
    """This worker has served long enough."""

    slot: int
    pid: int
    why: str


@dataclass(frozen=True)
class Imported:
    """Files of modules that only this process has imported, for the runner's reloader."""

    paths: tuple[str, ...]


Message: TypeAlias = (
    Load | Equip | Succeed | Fork | ReopenLogs | End | Loaded | Serving | Failed | Forked | ForkFailed | Exited | Ready
    | Stillborn | Tired | Imported | Stopping | GoesOn
)  # fmt: skip

_KINDS: dict[str, Callable[..., Message]] = {kind.__name__: kind for kind in get_args(Message)}


class UnknownMessage(ValueError):
    """The other side speaks another language."""


def shortened(reason: str) -> str:
    """At most `LONGEST_REASON` of it: of a traceback the beginning says where, and the end what."""
    if len(reason) <= LONGEST_REASON:
        return reason
    gap = "\n[... {:,} characters are left out here ...]\n"
    kept = LONGEST_REASON - len(gap.format(len(reason)))
    end = kept // 2
    return reason[: kept - end] + gap.format(len(reason) - kept) + reason[-end:]


def encode(message: Message) -> bytes:
    """The message as bytes."""
    return json.dumps({"is": type(message).__name__, **asdict(message)}, separators=(",", ":")).encode()


def decode(data: bytes) -> Message:
    """The message in these bytes. Raises UnknownMessage."""
    try:
        fields: dict[str, Any] = json.loads(data)
        kind = _KINDS[fields.pop("is")]
        if "origin" in fields:
            fields["origin"] = _origin(fields["origin"])
        if kind is Succeed:
            fields["listeners"] = [Inherited(**_frozen_values(one)) for one in fields["listeners"]]
        return kind(**_frozen_values(fields))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnknownMessage(f"not a message of ours: {data[:80]!r} ({error})") from None


def _frozen_values(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: _frozen(value) for name, value in fields.items()}


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _origin(fields: dict[str, Any]) -> Origin:
    recipes = {name: Recipe(**fields[name]) if fields[name] else None for name in ("recipe", "server")}
    return Origin(**{**_frozen_values(fields), **recipes})
