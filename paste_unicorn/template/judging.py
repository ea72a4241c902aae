"""All that is wrong with the settings, at once: also what shows only where the code lies that they name."""

from __future__ import annotations

from collections.abc import Iterator

from ..ops.access_format import AccessLogFormatProblem, compile_format
from ..process.identity import IdentityProblem, settle
from ..process.patching import NoSuchLibrary, check_installed
from ..settings.problems import Problem, in_order
from ..settings.resolve import Resolved, hook_problems

# Where one of these is wrong, what can be imported says nothing about the hooks.
_SAY_FROM_WHERE = frozenset({"chdir", "pythonpath", "raw_env", "config"})


def settle_and_judge(resolved: Resolved) -> tuple[Problem, ...]:
    """The problems of the texts, the access log's format, the worker class and the hooks, in the order of lines.

    Hooks are imported for that. So this process gets the directory, umask, environment and import path that the
    settings ask for, unless they are wrong themselves.
    """
    problems = [*resolved.problems, *_of_the_format(resolved), *_of_the_class(resolved)]
    if not resolved.wrong & _SAY_FROM_WHERE:
        try:
            settle(resolved.readable.processes)
        except IdentityProblem as problem:
            said = str(problem).removeprefix("chdir = ")
            problems.append(Problem(resolved.origins["chdir"], "chdir", said))
        else:
            problems += hook_problems(resolved)
    return in_order(problems)


def _of_the_format(resolved: Resolved) -> Iterator[Problem]:
    try:
        compile_format(resolved.readable.logs.access_log_format)
    except AccessLogFormatProblem as problem:
        name = "access_log_format"
        yield Problem(resolved.origins[name], name, str(problem).removeprefix(f"{name}: "))


def _of_the_class(resolved: Resolved) -> Iterator[Problem]:
    try:
        check_installed(resolved.readable.processes.worker_class)
    except NoSuchLibrary as problem:
        yield Problem(resolved.origins["worker_class"], "worker_class", str(problem))
