"""The sentences about a worker that ended: what it was doing, and what the signal means."""

from __future__ import annotations

import pytest

from paste_unicorn.ops.last_words import NAMED, last_words, out_of_memory, unanswered
from paste_unicorn.ops.oom import OomCount
from paste_unicorn.scoreboard import MEMORY, UNCELLED, Scoreboard, SlotReading

NOW = 200.0


def reading(requests: int = 0, memory: int = 0, uncelled: int = 0) -> SlotReading:
    board = Scoreboard.create(slots=1)
    pen = board.writer(0)
    pen.claim(4711, 3, 9, NOW - 0.5)
    pen.counters[MEMORY] = memory
    pen.counters[UNCELLED] = uncelled
    pen.use_cells(requests)
    for number in range(requests):
        pen.begin(number, NOW - 3.25 + number // 10, b"192.0.2.7", b"POST /a\x1b HTTP/1.1", expected=5000)
    return board.read(0)


def said(of: SlotReading, killed_by: str, hint: str = "") -> list[str]:
    return list(last_words(of, killed_by, NOW, hint))


def test_each_request_is_named_with_its_age_and_its_peer_and_nothing_can_steer_a_terminal() -> None:
    first, second, last = said(reading(requests=2, memory=50 * 2**20), "SIGKILL")
    assert first == second == 'ended within "POST /a\\x1b HTTP/1.1" since 3.2 s, for 192.0.2.7'
    assert last == (
        "had 50.0 MiB of memory (resident) at its last sign of life, 0.5 s ago. SIGKILL comes from outside: from a "
        "person, a supervisor, or the kernel for want of memory."
    )


def test_an_idle_one_is_one_line() -> None:
    (line,) = said(reading(memory=2**20), "SIGTERM")
    assert line == "had 1.0 MiB of memory (resident) at its last sign of life, 0.5 s ago, and was serving no request."


def test_without_a_memory_it_still_says_what_it_was_doing() -> None:
    assert said(reading(), "signal 40") == ["was serving no request."]


def test_one_that_ended_by_itself_has_only_its_requests_to_tell() -> None:
    assert said(reading(), "") == []
    assert len(said(reading(requests=1, memory=5), "")) == 1


def test_requests_that_found_no_cell_are_counted() -> None:
    assert said(reading(requests=1, uncelled=7), "")[1].startswith("ended within 7 requests more")


def test_of_very_many_requests_the_oldest_are_named_and_the_others_counted() -> None:
    told = said(reading(requests=100, uncelled=7), "")
    assert len(told) == NAMED + 2
    assert [line.partition("since ")[2].split()[0] for line in told[:20]] == ["3.2"] * 10 + ["2.2"] * 10
    assert told[NAMED:] == [
        f"ended within {100 - NAMED} requests more, which began later",
        "ended within 7 requests more, which found no room in its row of the scoreboard",
    ]


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGBUS", "SIGFPE", "SIGABRT"])
def test_a_fault_in_c_code_is_called_one_and_points_at_the_tracebacks(name: str) -> None:
    (line,) = said(reading(), name)
    assert "C code" in line
    assert line.endswith("The tracebacks of its threads stand above, unless it could not even write them.")


def test_when_the_kernel_ran_out_of_memory_this_is_what_the_kill_means() -> None:
    hint = out_of_memory(1, OomCount(5, 512 * 2**20, is_of_group=True))
    (line,) = said(reading(memory=2**20), "SIGKILL", hint)
    assert "ended a process of this server's control group (limit 512.0 MiB): this one, most likely" in line
    assert "max_worker_memory" in line
    assert "comes from outside" not in line


def test_several_kills_on_a_system_without_groups_leave_a_doubt() -> None:
    assert "2 processes on this system: this was one of them, most likely" in out_of_memory(2, OomCount(9))


def test_what_was_not_answered_is_a_line_of_the_access_log() -> None:
    of = reading(requests=1)
    served = unanswered(of.running[0], of, "worker-died", NOW, 1e9)
    assert (served.status, served.how, served.pid, served.generation) == (0, "worker-died", 4711, 3)
    assert served.duration_s == pytest.approx(3.25)
