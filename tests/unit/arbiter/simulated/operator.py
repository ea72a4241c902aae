"""The script that a seed writes: an operator with bad luck, worse habits, and a machine that is against him."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from paste_unicorn.arbiter.events import Signal
from paste_unicorn.arbiter.state import Plan, Policy

from .incidents import (
    ClockLeaps,
    Death,
    Deploy,
    ForksFail,
    Incident,
    NewbornsKilled,
    NextSuccessor,
    NextWorkers,
    PredecessorEnds,
    Send,
    StrayEnds,
    SuccessorDies,
    TemplateDies,
    TemplateDiesSilently,
    TemplateFreezes,
    What,
    WorkerDies,
    WorkerGrows,
    WorkerHangs,
    WorkerSticks,
    WorkerTires,
)  # fmt: skip
from .processes import LoadFate, Release, SuccessorFate, WorkerFate


@dataclass(frozen=True)
class Script:
    """A whole history, before it happens."""

    seed: int
    first: Release
    has_predecessor: bool
    incidents: tuple[Incident, ...]
    last_hup: bool  # when all is well again, a HUP brings a last, good release
    last_stop: Signal | None  # at the very end


POLICY = Policy(timeout_s=8.0, graceful_s=5.0, stop_s=4.0, quick_s=1.0, boot_timeout_s=6.0)
_DEATHS: tuple[Death, ...] = ("SIGKILL", "SIGKILL", "SIGSEGV", "exit code 3", "exit code 0")
_LOADS: tuple[LoadFate, ...] = ("raises", "hangs", "dies", "wrong settings", "address taken")
_WORKERS: tuple[WorkerFate, ...] = ("dies at birth", "never ready", "ready and dead", "dies young")
_SUCCESSORS: tuple[SuccessorFate, ...] = ("serves", "cannot start", "says why it fails", "dies", "hangs")
_STOPS = (Signal.TERM, Signal.TERM, Signal.INT, Signal.QUIT, Signal.TYPED_INT)


def write_script(seed: int) -> Script:
    """The script of this seed."""
    chance = Random(seed)
    first = _release(chance, 1, replace(POLICY, **_manners(chance)))
    if chance.random() < 0.85:
        first = replace(first, load="good", workers="good")
    elif chance.random() < 0.4:
        first = replace(first, load="good", workers=chance.choice(("dies at birth", "never ready")))
    writer = _Writer(chance, first)
    themes = chance.sample(_THEMES, chance.choice((1, 1, 2, 3)))
    if _recycling in themes and chance.random() < 0.4:
        policy = replace(first.plan.policy, most_memory=1000)
        writer.first = first = replace(first, plan=replace(first.plan, policy=policy))
    at = chance.choice((0.0, 0.3, 3.0)) * chance.random()
    has_predecessor = chance.random() < 0.1
    incidents: list[Incident] = []
    for _ in range(chance.choice((1, 2, 3, 4, 6, 8, 12))):
        at += _gap_s(chance)
        incidents += (Incident(round(at, 4), what) for what in chance.choice(themes)(writer))
        if chance.random() < 0.3:
            # The worst moment: while whatever that was is under way.
            worst = at + chance.choice((0.0, 0.005, 0.05, 1.0)) * chance.random()
            incidents.append(Incident(round(worst, 4), _worst(writer)))
    if not first.is_good:  # somebody corrects it
        corrected = round(chance.choice((1.0, 10.0)) * chance.random(), 4)
        incidents += (Incident(corrected, what) for what in (Deploy(writer.release()), Send(Signal.HUP)))
    if has_predecessor and chance.random() < 0.8:
        incidents.append(Incident(round(at * chance.random(), 4), PredecessorEnds()))
    if chance.random() < 0.2:
        incidents.append(Incident(round(at + _gap_s(chance), 4), Send(chance.choice(_STOPS))))
    return Script(
        seed,
        first,
        has_predecessor,
        tuple(sorted(incidents, key=lambda one: one.at)),
        last_hup=chance.random() < 0.6,
        last_stop=chance.choice(_STOPS) if chance.random() < 0.4 else None,
    )


def _gap_s(chance: Random) -> float:
    """At once, while something starts, while something takes its time, when all is quiet."""
    return chance.choice((0.0, 0.01, 0.1, 0.5, 2.0, 5.0, 20.0)) * chance.random()


def _manners(chance: Random) -> dict[str, object]:
    """Of the settings that most servers leave alone, one or none."""
    return chance.choice(
        (
            {}, {}, {}, {}, {},
            {"retire_first": True, "no_upgrade": "the application can't be loaded beside itself"},
            {"retire_first": True, "no_upgrade": "the application can't be loaded beside itself"},
            {"timeout_s": 0.0},
            {"lifetime_s": 25.0, "lifetime_jitter_s": 10.0},
            {"most_memory": 1000},
            {"upgrade_at_once": True},
            {"no_upgrade": "send HUP instead"},
            {"can_load_again": False},
            {"stop_s": 0.5},
        )
    )  # fmt: skip


def _release(chance: Random, number: int, policy: Policy) -> Release:
    plan = Plan(chance.choice((1, 1, 2, 2, 3, 4)), policy)
    load: LoadFate = chance.choice(_LOADS) if chance.random() < 0.3 else "good"
    workers: WorkerFate = chance.choice(_WORKERS) if load == "good" and chance.random() < 0.25 else "good"
    return Release(number, plan, load, workers)


class _Writer:
    """What the themes draw from."""

    def __init__(self, chance: Random, first: Release) -> None:
        self.chance = chance
        self.releases = 1
        self.first = first

    def release(self) -> Release:
        chance = self.chance
        self.releases += 1
        policy = self.first.plan.policy
        if chance.random() < 0.2:
            policy = replace(POLICY, **{**_manners(chance), "can_load_again": policy.can_load_again})
        return _release(chance, self.releases, policy)

    @property
    def which(self) -> int:
        return self.chance.randrange(6)


def _worst(writer: _Writer) -> What:
    chance = writer.chance
    kind = chance.random()
    if kind < 0.4:
        return TemplateDies(writer.which, chance.choice(_DEATHS))
    if kind < 0.6:
        return WorkerDies(writer.which, chance.choice(_DEATHS))
    if kind < 0.9:
        return Send(chance.choice((Signal.HUP, Signal.HUP, Signal.TTIN, Signal.TTOU, Signal.USR2, Signal.WINCH)))
    return Send(chance.choice(_STOPS))


def _reloads(writer: _Writer) -> list[What]:
    chance = writer.chance
    deployed: list[What] = [Deploy(writer.release())] if chance.random() < 0.7 else []
    storm = chance.choice((1, 1, 1, 2, 3, 10))
    return [*deployed, *[Send(Signal.HUP)] * storm]


def _deaths(writer: _Writer) -> list[What]:
    chance = writer.chance
    return [WorkerDies(writer.which, chance.choice(_DEATHS)) for _ in range(chance.choice((1, 1, 1, 2, 4)))]


def _templates(writer: _Writer) -> list[What]:
    chance = writer.chance
    if chance.random() < 0.25:
        return [TemplateFreezes(writer.which, round(60.0 * chance.random() ** 3, 3))]
    if chance.random() < 0.4:
        after: Literal["fork", "reaping"] = chance.choice(("fork", "reaping"))
        cause = [Send(chance.choice((Signal.TTIN, Signal.HUP)))] if after == "fork" else _deaths(writer)
        return [TemplateDiesSilently(after), *cause]
    died: list[What] = [TemplateDies(writer.which, chance.choice(_DEATHS))]
    return died + (_deaths(writer) if chance.random() < 0.3 else [])


def _stuck(writer: _Writer) -> list[What]:
    chance = writer.chance
    if chance.random() < 0.25:
        return [WorkerSticks(writer.which, round(40.0 * chance.random(), 3))]
    return [WorkerHangs(writer.which) for _ in range(chance.choice((1, 1, 3)))]


def _births(writer: _Writer) -> list[What]:
    chance = writer.chance
    troubled: What = NextWorkers(chance.choice((1, 1, 2, 4, 8)), chance.choice(_WORKERS))
    if chance.random() < 0.3:
        troubled = NewbornsKilled(round(60.0 * chance.random() ** 2, 3))
    cause: What = chance.choice((Send(Signal.HUP), Send(Signal.TTIN), WorkerDies(writer.which, "SIGKILL")))
    return [troubled, cause]


def _sizes(writer: _Writer) -> list[What]:
    chance = writer.chance
    signal = chance.choice((Signal.TTIN, Signal.TTIN, Signal.TTOU, Signal.TTOU, Signal.WINCH))
    return [Send(signal)] * chance.choice((1, 1, 2, 3))


def _recycling(writer: _Writer) -> list[What]:
    chance = writer.chance
    kind = chance.choice((WorkerTires, WorkerTires, WorkerGrows))
    return [kind(writer.which) for _ in range(chance.choice((1, 2, 4)))]


def _upgrades(writer: _Writer) -> list[What]:
    chance = writer.chance
    return chance.choice(
        (
            [Send(Signal.USR2)],
            [Send(Signal.USR2), StrayEnds()],
            [NextSuccessor(chance.choice(_SUCCESSORS)), Send(Signal.USR2)],
            [NextSuccessor(chance.choice(_SUCCESSORS)), Send(Signal.USR2)],
            [NextSuccessor(chance.choice(_SUCCESSORS)), Send(Signal.USR2), Send(Signal.TERM)],
            [NextSuccessor(chance.choice(_SUCCESSORS[2:])), Send(Signal.USR2), Send(Signal.TERM)],
            [SuccessorDies()],
        )
    )


def _machine(writer: _Writer) -> list[What]:
    chance = writer.chance
    return [
        chance.choice(
            (
                ForksFail(round(20.0 * chance.random() ** 2, 3)),
                ClockLeaps(round(chance.choice((1.0, 30.0, 4000.0)) * chance.random(), 3)),
                StrayEnds(),
                Send(Signal.USR1),
                Send(Signal.RESIZED),
            )
        )
    ]


_THEMES: tuple[Callable[[_Writer], list[What]], ...] = (
    _reloads, _deaths, _templates, _stuck, _births, _sizes, _recycling, _upgrades, _machine,
)  # fmt: skip
