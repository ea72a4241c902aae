"""Addresses to listening sockets; how they stop taking connections, and how they are closed."""

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
from ..process.messages import Inherited

if TYPE_CHECKING:
    from ..settings.addresses import Address

# Not in Python's socket module: <linux/in.h>, <linux/in6.h>.
_IP_MINTTL = 21
_IPV6_MINHOPCOUNT = 73
_MOST_HOPS = 255  # no packet that has passed a router has so many left, nor does Linux send any

_RETRY_S = 0.02


class BindProblem(Exception):
    """Addresses that can't be listened on, a line each."""


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
class _Opened:
    asked: str  # the address as the settings wrote it
    listener: Listener
    is_ours: bool  # not handed to us by somebody who goes on holding it
    path: str = ""
    inode: tuple[int, int] = (0, 0)  # of the path, as we made it


class OpenListeners:
    """The listening sockets of this arbiter."""

    def __init__(self, opened: Iterable[_Opened]) -> None:
        self._opened = tuple(opened)

    @property
    def all(self) -> tuple[Listener, ...]:
        return tuple(one.listener for one in self._opened)

    def changed_to(self, addresses: Iterable[Address], terms: Terms) -> OpenListeners:
        """Listeners for these addresses: those that are open already, and new ones. Raises BindProblem."""
        left = list(self._opened)
        kept: list[_Opened | None] = []
        lacking = []
        for address in addresses:
            one = next((one for one in left if one.asked == str(address)), None)
            kept.append(one)
            if one is None:
                lacking.append(address)
            else:
                left.remove(one)
        fresh = iter(open_listeners(lacking, terms, self)._opened)
        return OpenListeners(one or next(fresh) for one in kept)

    def described(self) -> tuple[Inherited, ...]:
        """For another arbiter, which gets the descriptors beside it, in the same order."""
        return tuple(
            Inherited(
                one.asked,
                one.listener.address,
                one.listener.server_name,
                one.listener.server_port,
                one.listener.is_unix,
                one.is_ours,
                one.path,
                one.inode,
            )
            for one in self._opened
        )

    @classmethod
    def inherit(cls, described: Sequence[Inherited], fds: Sequence[int]) -> OpenListeners:
        """Those that another arbiter opened."""
        opened = []
        for one, fd in zip(described, fds, strict=True):
            sock = socket.socket(fileno=fd)
            sock.setblocking(False)
            listener = Listener(sock, one.address, sock.family, one.server_name, one.server_port, one.is_unix)
            opened.append(_Opened(one.asked, listener, one.is_ours, one.path, one.inode))
        return cls(opened)

    def without(self, others: OpenListeners) -> OpenListeners:
        """Those that the others don't have."""
        return OpenListeners(one for one in self._opened if one not in others._opened)

    def listen(self, backlog: int) -> None:
        """Let the kernel's queues be so long; what is in them stays."""
        for one in self._opened:
            if one.is_ours:
                one.listener.sock.listen(backlog)

    def stop_handshakes(self) -> None:
        """Let no new connection begin; those that the kernel has accepted stay in the queue.

        Closing a listener, or `shutdown` on it, resets what is in its queue, and
        accept-until-empty-then-close loses what arrives in between. With a minimal TTL that no peer reaches,
        new SYNs are dropped silently, handshakes already begun complete, and the queue runs dry. A Unix
        listener that is shut down for reading refuses new connects and keeps its queue. Never on sockets that
        somebody else holds: the holder keeps the queue.
        """
        for one in self._opened:
            if not one.is_ours:
                continue
            sock = one.listener.sock
            if one.listener.is_unix:
                self._unlink(one)
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RD)
                continue
            for level, option in ((socket.IPPROTO_IP, _IP_MINTTL), (socket.IPPROTO_IPV6, _IPV6_MINHOPCOUNT)):
                with contextlib.suppress(OSError):  # an IPv4 socket has no IPv6 options; not everywhere at all
                    sock.setsockopt(level, option, _MOST_HOPS)

    def close(self) -> None:
        for one in self._opened:
            self._unlink(one)
        self.let_go()

    def let_go(self) -> None:
        """Close our descriptors: somebody else goes on with these sockets."""
        for one in self._opened:
            one.listener.sock.close()

    @staticmethod
    def _unlink(one: _Opened) -> None:
        """Remove the path, if it is still the one that we made."""
        if one.path:
            with contextlib.suppress(OSError):
                if _inode(one.path) == one.inode:
                    os.unlink(one.path)


def open_listeners(addresses: Iterable[Address], terms: Terms, beside: OpenListeners | None = None) -> OpenListeners:
    """Open all of them, or none; `beside` are those that this server has. Raises BindProblem with all that is wrong."""
    addresses = tuple(addresses)
    opened: list[_Opened] = []
    problems: list[str] = []
    until = time.monotonic() + terms.wait_s
    for address in addresses:
        try:
            opened.append(_open(address, addresses, terms, until))
        except OSError as error:
            problems.append(f"bind = {address}: {_advice(address, error, beside.all if beside is not None else ())}")
    if problems:
        OpenListeners(opened).close()
        raise BindProblem("\n".join(problems))
    return OpenListeners(opened)


def _open(address: Address, others: tuple[Address, ...], terms: Terms, until: float) -> _Opened:
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
    return _Opened(str(address), listener, True, path, inode)


def _open_tcp(address: Address, others: tuple[Address, ...], terms: Terms, until: float) -> _Opened:
    family, where = _resolve(address)
    sock = socket.socket(family)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections inherit it, which saves a call for each.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if terms.reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # Every address of both families, unless somebody listens on this port's IPv4 addresses beside it.
            beside = any(other.port == address.port and other.host == "0.0.0.0" for other in others)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(beside))
        _retry(lambda: sock.bind(where), until)
        sock.listen(terms.backlog)
    except BaseException:
        sock.close()
        raise
    sock.setblocking(False)
    return _Opened(str(address), _tcp_listener(sock, address.host), True)


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


def _take_over(address: Address) -> _Opened:
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
        return _Opened(str(address), Listener(sock, str(address), socket.AF_UNIX, "localhost", "80", True), False)
    return _Opened(str(address), _tcp_listener(sock, ""), False)


def _bind_path(sock: socket.socket, path: str, terms: Terms) -> tuple[int, int]:
    """Bind and listen under another name, then rename: whoever connects finds the old one or the finished new
    one.
    """
    if _is_live(path):
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    fresh = os.path.join(os.path.dirname(path), f".{os.getpid()}.s")
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
