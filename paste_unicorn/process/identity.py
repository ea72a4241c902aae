"""What a process is called, and whose it is: title, user, group, umask, directory, environment, limits."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import setproctitle

if TYPE_CHECKING:
    from ..settings.table.processes import ProcessSettings


# The first call looks where arguments and environment lie in memory. Later, when a variable was changed meanwhile (it
# moves then), it may find nothing, and titles would silently stay what they are.
setproctitle.getproctitle()


class IdentityProblem(ValueError):
    """A setting that this process isn't allowed to honour; `str()` names the setting and what to do."""


def set_title(role: str, name: str, generation: int | None = None) -> None:
    """`unicorn: worker 3 [prod.ini] g1`, as `ps` and `top` show it."""
    ending = f" g{generation}" if generation is not None else ""
    setproctitle.setproctitle(f"unicorn: {role} [{name}]{ending}")


def title_name(settings: ProcessSettings, ini_path: str | None) -> str:
    """What stands in the brackets: `proc_name`, or the name of the ini."""
    return settings.proc_name or ini_name(ini_path)


def ini_name(ini_path: str | None) -> str:
    """What the configuration is called in logs."""
    return os.path.basename(ini_path) if ini_path else "no ini"


def check_user(settings: ProcessSettings) -> None:
    """Raises IdentityProblem when this process could never become the user that was asked for."""
    if os.geteuid() == 0:
        return
    if settings.user is not None and settings.user != os.geteuid():
        raise IdentityProblem(
            f"user = {settings.user_name or settings.user}: only root may start workers as somebody else; "
            "start the server as root, or as that user without this setting"
        )
    if settings.group is not None and settings.group not in {os.getegid(), *os.getgroups()}:
        raise IdentityProblem(
            f"group = {settings.group}: this user isn't in that group; start the server as root, or leave it out"
        )


def settle(settings: ProcessSettings) -> None:
    """Directory, umask, environment and import path, before anything is opened. Raises IdentityProblem."""
    if settings.chdir is not None:
        try:
            os.chdir(settings.chdir)
        except OSError as error:
            raise IdentityProblem(f"chdir = {settings.chdir}: {error.strerror}") from None
    if settings.umask is not None:
        os.umask(settings.umask)
    os.environ.update(settings.raw_env)
    for folder in reversed(settings.pythonpath):
        if folder not in sys.path:
            sys.path.insert(0, folder)


def allow_files(wanted: int) -> None:
    """Let this process, and those that it starts, open so many files, or as many as the hard limit lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with contextlib.suppress(OSError, ValueError):  # macOS has another limit above the hard one
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


@contextlib.contextmanager
def acting_as_user(settings: ProcessSettings) -> Iterator[None]:
    """For a while, in a process that stays root: what is made now belongs to `user` and `group`, as what workers make.

    It is no protection: the process may take its rights back at any time. Raises OSError.
    """
    if os.geteuid() != 0 or not (settings.user or settings.group):
        yield
        return
    group, groups = os.getegid(), os.getgroups()
    try:
        _take_groups(settings)
        os.setegid(group if settings.group is None else settings.group)
        os.seteuid(settings.user or 0)
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def become_user(settings: ProcessSettings) -> None:
    """In a worker, after the life pipe was armed: give up root for `user` and `group`. Raises OSError."""
    uid, gid = settings.user, settings.group
    if os.geteuid() == 0:
        _take_groups(settings)
    if gid is not None and gid != os.getegid():
        os.setgid(gid)
    if uid is not None and uid != os.geteuid():
        os.setuid(uid)


def _take_groups(settings: ProcessSettings) -> None:
    """Root's own supplementary groups must not stay with somebody who isn't root."""
    uid, gid = settings.user, settings.group
    if not (uid or gid):
        return
    if settings.initgroups and settings.user_name is not None:
        os.initgroups(settings.user_name, os.getegid() if gid is None else gid)
    else:
        os.setgroups([os.getegid() if gid is None else gid])
