"""A server in a network of its own, in which the kernel's values may be set; needs root, and Linux."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Mapping, Sequence

_SHELL = ["unshare", "--net", "sh", "-c"]


def own_network(values: Mapping[str, str | int]) -> list[str]:
    """A command that starts another one in a new network namespace, with loopback and these values of /proc/sys/net."""
    set_values = [f"echo '{value}' > /proc/sys/net/{name}" for name, value in values.items()]
    return [*_SHELL, " && ".join(["ip link set lo up", *set_values, 'exec "$@"']), "sh"]


def why_no_network() -> str:
    """Why there can't be one here; "" where there can."""
    with contextlib.suppress(OSError):
        done = subprocess.run([*own_network({}), "true"], capture_output=True, text=True, check=False)
        return done.stderr.strip() or ("" if done.returncode == 0 else f"unshare ended with {done.returncode}")
    return "there is no unshare here"


def run_inside(pid: int, command: Sequence[str]) -> str:
    """Run a command in the network of that process; what it prints."""
    done = subprocess.run(
        ["nsenter", "--target", str(pid), "--net", *command], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
