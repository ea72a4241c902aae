"""Addresses to sockets that listen: all of them, or everything that is wrong with them."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..process.listener import Listener

if TYPE_CHECKING:
    from ..settings.addresses import Address

_RETRY_S = 0.02

# Clients that vanish without a word (a phone out of reach, a lost NAT entry) are gone after two minutes: the kernel
# asks after a minute of silence, four times (tcp(7)). Names as systems have them; seconds, seconds, seconds, probes.
_KEEPALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPALIVE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))


class BindProblem(Exception):
    """Addresses that can't be listened on, a line each. `is_taken`: by somebody who listens there."""

    is_taken = False


@dataclass(frozen=True)
class Terms:
    """How sockets are opened: `umask`, `uid` and `gid` concern Unix sockets; `wait_s` is for a predecessor
    that is just letting go of the port, under a reloader.
    """

    backlog: int
    reuse_port: bool
    umask: int
    uid: int | None
    gid: int | None
    wait_s: float


@dataclass(frozen=True)
class Opened:
    """A socket that listens, and what it takes to close it properly."""

    asked: str  # the address as the settings wrote it
    listener: Listener
    is_ours: bool  # not handed to us by somebody who goes on holding it
    path: str = ""
    inode: tuple[int, int] = (0, 0)  # of the path, as we made it

    def unlink(self) -> None:
        """Remove the path, if it is still the one that we made."""
        if self.path:
            with contextlib.suppress(OSError):
                if _inode(self.path) == self.inode:
                    os.unlink(self.path)


def open_all(
    addresses: Iterable[Address], among: Sequence[Address], terms: Terms, ours: Iterable[Listener]
) -> tuple[Opened, ...]:
    """Open all of these, or none. They are to stand `among` all that the settings name; `ours` are open already.

    Raises BindProblem with all that is wrong.
    """
    opened: list[Opened] = []
    problems: list[str] = []
    until = time.monotonic() + terms.wait_s
    for address in addresses:
        try:
            opened.append(_open(address, among, terms, until))
        except OSError as error:
            problems.append(f"bind = {address}: {_advice(address, error, ours)}")
    if problems:
        for one in opened:
            one.unlink()
            one.listener.sock.close()
        raise BindProblem("\n".join(problems))
    return tuple(opened)


def try_address(address: Address, among: Sequence[Address], terms: Terms) -> BindProblem | None:
    """Whether this address could be listened on, among all that the settings name; nobody can connect meanwhile, and
    nothing stays.
    """
    try:
        if address.kind == "tcp":
            _bound_tcp(address, among, terms, 0.0).close()
        else:
            _try_unix(address)
    except OSError as error:
        problem = BindProblem(_advice(address, error, ()))
        problem.is_taken = error.errno == errno.EADDRINUSE
        return problem
    return None


def _try_unix(address: Address) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        if address.kind == "abstract":
            sock.bind("\0" + address.path)
            return
        if _is_live(address.path):
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        fresh = _fresh_name(address.path)
        sock.bind(fresh)
        os.unlink(fresh)


def _open(address: Address, others: Sequence[Address], terms: Terms, until: float) -> Opened:
    if address.kind == "fd":
        return _take_over(address)
    if address.kind == "tcp":
        return _open_tcp(address, others, terms, until)
    sock = socket.socket(socket.AF_UNIX)
    try:
        if address.kind == "abstract":
            _retry(lambda: sock.bind("\0" + address.path), until)
            sock.listen(terms.backlog)
            inode = (0, 0)
        else:
            inode = _bind_path(sock, address.path, terms)
    except BaseException:
        sock.close()
        raise
    sock.setblocking(False)
    path = address.path if address.kind == "unix" else ""
    listener = Listener(sock, str(address), socket.AF_UNIX, "localhost", "80", True)
    return Opened(str(address), listener, True, path, inode)


def _open_tcp(address: Address, others: Sequence[Address], terms: Terms, until: float) -> Opened:
    sock = _bound_tcp(address, others, terms, until)
    try:
        sock.listen(terms.backlog)
    except BaseException:
        sock.close()
        raise
    sock.setblocking(False)
    return Opened(str(address), _tcp_listener(sock, address.host), True)


def _bound_tcp(address: Address, others: Sequence[Address], terms: Terms, until: float) -> socket.socket:
    family, where = _resolve(address)
    sock = socket.socket(family)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections inherit these, which saves a call for each.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE:
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        if terms.reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # Every address of both families, unless somebody listens on this port's IPv4 addresses beside it.
            beside = any(other.port == address.port and other.host == "0.0.0.0" for other in others)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(beside))
        _retry(lambda: sock.bind(where), until)
    except BaseException:
        sock.close()
        raise
    return sock


def _tcp_listener(sock: socket.socket, host: str) -> Listener:
    bound_host, port = sock.getsockname()[:2]
    shown = f"[{bound_host}]" if ":" in bound_host else bound_host
    name = bound_host if host in {"", "*"} else host
    return Listener(sock, f"{shown}:{port}", sock.family, name, str(port), False)


def _resolve(address: Address) -> tuple[int, tuple[str, int] | tuple[str, int, int, int]]:
    if address.host in {"", "*"}:
        if socket.has_dualstack_ipv6():
            return socket.AF_INET6, ("::", address.port, 0, 0)
        return socket.AF_INET, ("0.0.0.0", address.port)
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    found.sort(key=lambda one: one[0] != socket.AF_INET)  # a name that has both means its IPv4 address
    return found[0][0], found[0][4]  # type: ignore[return-value]


def _take_over(address: Address) -> Opened:
    sock = socket.socket(fileno=address.fd)
    try:
        if sock.type != socket.SOCK_STREAM or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise OSError(errno.EINVAL, "not a listening socket")
    except OSError:
        sock.detach()
        raise
    sock.set_inheritable(False)
    sock.setblocking(False)
    if sock.family == socket.AF_UNIX:
        return Opened(str(address), Listener(sock, str(address), socket.AF_UNIX, "localhost", "80", True), False)
    return Opened(str(address), _tcp_listener(sock, ""), False)


def _bind_path(sock: socket.socket, path: str, terms: Terms) -> tuple[int, int]:
    """Bind and listen under another name, then rename: whoever connects finds the old one or the finished new
    one.
    """
    if _is_live(path):
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    fresh = _fresh_name(path)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(fresh)
    sock.bind(fresh)
    try:
        os.chmod(fresh, 0o777 & ~terms.umask)
        if terms.uid is not None or terms.gid is not None:
            os.chown(fresh, -1 if terms.uid is None else terms.uid, -1 if terms.gid is None else terms.gid)
        sock.listen(terms.backlog)
        inode = _inode(fresh)
        os.rename(fresh, path)
    except BaseException:
        os.unlink(fresh)
        raise
    return inode


def _fresh_name(path: str) -> str:
    """In the same folder."""
    return os.path.join(os.path.dirname(path), f".{os.getpid()}.s")


def _is_live(path: str) -> bool:
    """Whether a server listens on this path. Raises OSError where the path is something else than a socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except BlockingIOError:  # its backlog is full
            return True
        except ConnectionRefusedError:
            if not os.path.exists(path) or not _is_socket(path):
                raise OSError(errno.EEXIST, "there is something that is not a socket") from None
            return False
        except FileNotFoundError:
            return False
        return True


def _is_socket(path: str) -> bool:
    return stat.S_ISSOCK(os.lstat(path).st_mode)


def _inode(path: str) -> tuple[int, int]:
    status = os.lstat(path)
    return status.st_dev, status.st_ino


def _retry(bind: Callable[[], None], until: float) -> None:
    while True:
        try:
            bind()
            return
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() >= until:
                raise
        time.sleep(_RETRY_S)


def _advice(address: Address, error: OSError, ours: Iterable[Listener]) -> str:
    if isinstance(error, socket.gaierror):
        return f'the name "{address.host}" has no address ({error.strerror}); write an IP address'
    said = error.strerror or str(error)
    if error.errno == errno.EADDRINUSE:
        for listener in ours:
            if address.kind == "tcp" and not listener.is_unix and listener.server_port == str(address.port):
                return f"{said}: this server itself listens on {listener.address}; restart it for this change"
    advice = {
        errno.EADDRINUSE: "another process listens there; stop it, or choose another address",
        errno.EACCES: "this user may not listen there; ports below 1024 need root (and then user = ...)",
        errno.EADDRNOTAVAIL: "no network interface of this machine has that address",
        errno.ENOENT: "the folder does not exist",
        errno.EBADF: "there is no such descriptor; whoever starts the server has to pass it on",
    }.get(error.errno or 0)
    return f"{said}: {advice}" if advice else said
