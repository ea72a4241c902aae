"""When an overflow is ours, and how often it is told."""

from __future__ import annotations

from dataclasses import replace

from paste_unicorn.ops.kernel import UNLIMITED, Kernel
from paste_unicorn.ops.overflow import QUIET_S, Listening, Overflow, Records, judge, sentence
from paste_unicorn.ops.queues import Queue

KERNEL = Kernel("linux", 1024, UNLIMITED, 4096, 2048, 1, 32768, 60999, 60.0, 2, UNLIMITED, UNLIMITED, UNLIMITED)
TCP = Listening("127.0.0.1:8080", False, True, Queue(3, 2, 7))
UNIX = Listening("unix:/run/site", True, True, Queue(3, 2))


def dropped(number: int) -> Listening:
    return replace(TCP, queue=Queue(3, 2, number))


def looks(*seen: tuple[float, int | None, Listening]) -> list[list[tuple[int, float]]]:
    """How many times, and within how many seconds, each look tells; of seconds, count of all, and the listener."""
    records, told = Records(), []
    for now, overflows, listening in seen:
        records, overflown = judge(records, overflows, (listening,), now)
        told.append([(one.times, one.within_s) for one in overflown])
    return told


def test_what_was_before_the_first_look_is_not_told() -> None:
    assert looks((0.0, 100, dropped(7)), (0.5, 100, dropped(7))) == [[], []]


def test_it_is_told_at_the_next_look() -> None:
    assert looks((0.0, 100, dropped(7)), (0.5, 105, dropped(12))) == [[], [(5, 0.5)]]


def test_what_was_counted_before_its_drop_was_seen_is_told_too() -> None:
    assert looks((0.0, 100, dropped(7)), (0.5, 105, dropped(7)), (1.0, 105, dropped(12))) == [[], [], [(5, 0.5)]]
    late = looks((0.0, 100, dropped(7)), (0.5, 105, dropped(7)), (1.0, 105, dropped(7)), (1.5, 105, dropped(12)))
    assert late == [[], [], [], []]  # that was something else


def test_an_overflow_of_another_server_is_none_of_ours() -> None:
    assert looks((0.0, 100, dropped(7)), (0.5, 105, dropped(7))) == [[], []]


def test_what_the_listener_drops_for_another_reason_is_no_overflow() -> None:
    assert looks((0.0, 100, dropped(7)), (0.5, 100, dropped(12)), (1.0, 101, dropped(12))) == [[], [], []]
    assert looks((0.0, 100, dropped(7)), (0.5, 102, dropped(12))) == [[], [(2, 0.5)]]


def test_further_ones_are_summed_up_once_in_a_while() -> None:
    told = looks(
        (0.0, 0, dropped(0)),
        (0.5, 2, dropped(2)),
        (1.0, 5, dropped(5)),
        (30.0, 6, dropped(6)),
        (QUIET_S, 6, dropped(6)),
        (QUIET_S + 0.5, 6, dropped(6)),
        (3 * QUIET_S, 6, dropped(6)),
    )
    assert told == [[], [(2, 0.5)], [], [], [], [(4, QUIET_S)], []]


def test_where_the_kernel_does_not_count_nothing_is_told() -> None:
    assert looks((0.0, None, dropped(0)), (0.5, None, dropped(9))) == [[], []]


def test_a_unix_listener_is_told_when_it_is_seen_to_be_full() -> None:
    fine = replace(UNIX, queue=Queue(2, 2))
    assert looks((0.0, 0, fine), (0.5, 0, UNIX), (1.0, 0, UNIX), (1.5, 0, fine)) == [[], [(1, 0.5)], [], []]


def test_the_line_says_what_to_change() -> None:
    said = sentence(Overflow(TCP, 12, 0.5), replace(KERNEL, accept_queue=3), 2, 4711)
    assert said == (
        "The queue of connections that wait on 127.0.0.1:8080 overflowed 12 times within 0.5 s (now 3 wait, 2 may): "
        "clients try again after 1, 3, 7 s, or give up. Workers don't accept as fast as clients come: more `workers`, "
        "or a longer queue (backlog = 4 in the ini, then kill -HUP 4711, and before it sysctl -w net.core.somaxconn=4)"
    )  # fmt: skip


def test_a_backlog_that_the_kernel_cuts_is_to_be_allowed_first() -> None:
    said = sentence(Overflow(TCP, 1, 0.5), KERNEL, 2048, 4711)
    assert "overflowed 1 time within" in said
    assert said.endswith(
        "The kernel cuts backlog = 2048 to 2. Now: sysctl -w net.core.somaxconn=2048 && kill -HUP 4711. To last: "
        "net.core.somaxconn = 2048 in /etc/sysctl.d/90-unicorn.conf"
    )


def test_the_queue_of_a_socket_that_was_handed_to_us_is_its_holders() -> None:
    said = sentence(Overflow(replace(TCP, is_ours=False), 1, 0.5), KERNEL, 2048, 4711)
    assert said.endswith("or a longer queue where this socket is opened (Backlog= of a socket unit)")


def test_of_a_unix_listener_it_is_said_who_is_refused() -> None:
    said = sentence(Overflow(UNIX, 1, 0.5), KERNEL, 2, 4711)
    assert said.startswith(
        "The queue of connections that wait on unix:/run/site is full (3 wait, 2 may): whoever connects meanwhile has "
        "to wait, or is refused with EAGAIN (nginx answers 502). Workers don't"
    )
