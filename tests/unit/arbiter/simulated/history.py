"""A history: from a script to its quiet end, or to the step at which a rule breaks; and the shortest one like it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from paste_unicorn.arbiter.actions import Action, AnnounceWorkers, LetGo, Say
from paste_unicorn.arbiter.events import Event, Signal, TemplateLoaded, TimePassed
from paste_unicorn.arbiter.rules.boot import begin
from paste_unicorn.arbiter.state import Arbiter

from .books import Broken
from .endings import check_end, check_nothing_forgotten, is_quiet
from .incidents import Deploy, Incident
from .invariants import Watcher
from .loop import Loop
from .operator import Script, write_script
from .processes import Release
from .world import World

_SETTLES_S = 90.0
_GETS_WELL_S = 400.0
_TRAIL = 25


@dataclass(frozen=True)
class Failure:
    script: Script
    rule: str
    sentence: str
    at: float
    trail: tuple[str, ...]  # the last steps

    def __str__(self) -> str:
        script = self.script
        lines = [
            f"history {script.seed} breaks at {self.at:.3f} s",
            f"  the rule: {self.rule}",
            f"  {self.sentence}",
            f"what befell, from {script.first}" + (", beside an older arbiter" if script.has_predecessor else ""),
            *(f"  {incident}" for incident in script.incidents),
        ]
        if script.last_hup:
            lines.append("       then  when all is well again: a good release, HUP")
        if script.last_stop is not None:
            lines.append(f"       then  {script.last_stop.value}")
        lines += ["the last steps", *(f"  {line}" for line in self.trail)]
        lines.append(f"to see it again: python tests/benchmarks/histories.py --seed {script.seed}")
        return "\n".join(lines)


class History:
    """One run of a script."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.world = World(script.seed, script.first)
        self.watcher = Watcher(self.world, script.first.plan.wanted)
        self.trail: deque[tuple[float, Event, tuple[Action, ...]]] = deque(maxlen=_TRAIL)
        self.incidents = list(script.incidents)
        for incident in script.incidents:
            self.world.after(incident.at, self._befall, incident)
        state, actions = begin(
            script.first.plan, 0.0, has_predecessor=script.has_predecessor, forks_first=not script.has_predecessor
        )
        assert AnnounceWorkers(script.first.plan.wanted, None) in actions
        lets_go = script.first.plan.policy.retire_first and script.has_predecessor
        assert (LetGo() in actions) is lets_go
        self.watcher.orders.has_let_go = lets_go
        self.loop = Loop(self.world, self, state, actions)

    def _befall(self, incident: Incident) -> None:
        self.incidents.remove(incident)
        incident.what.befall(self.world)

    def step(self, before: Arbiter, event: Event, actions: tuple[Action, ...], after: Arbiter) -> None:
        if actions or type(event) is not TimePassed:
            self.trail.append((self.world.now, event, actions))
        self.watcher.step(before, event, actions, after)

    def run(self) -> Failure | None:
        try:
            self._run()
        except Broken as broken:
            trail = tuple(_described(*step) for step in self.trail)
            return Failure(self.script, broken.rule, broken.sentence, self.world.now, trail)
        except Exception as error:
            trail = tuple(_described(*step) for step in self.trail)
            return Failure(self.script, "no faults", repr(error), self.world.now, trail)
        return None

    def _run(self) -> None:
        script, world, loop = self.script, self.world, self.loop
        while self.incidents and not world.is_over:
            loop.run(max(world.now, self.incidents[-1].at) + 0.001)
        self._settle(_SETTLES_S)
        if not world.is_over:
            check_nothing_forgotten(self.watcher.books, loop.state)
            last = self._last_release()
            world.get_well(last)
            if script.last_hup:
                world.signals.append(Signal.HUP)
            loop.run(world.now + 0.001)
            quiet = self._settle(_GETS_WELL_S)
            if lifetime_s := loop.state.policy.lifetime_s:  # they are replaced once more
                loop.run(world.now + lifetime_s + loop.state.policy.lifetime_jitter_s)
                quiet = self._settle(_GETS_WELL_S)
            if not world.is_over:
                check_nothing_forgotten(self.watcher.books, loop.state)
                check_end(self.watcher, loop.state, last, was_asked=script.last_hup, quiet=quiet)
        if not world.is_over and script.last_stop is not None:
            world.signals.append(script.last_stop)
            policy = loop.state.policy
            loop.run(world.now + 2 * policy.boot_timeout_s + 5.0 + policy.stop_s + 20.0)
            if not world.is_over:
                raise Broken("a stop ends", f"it has not: {loop.state}")
        if world.is_over:
            self.watcher.stopping.check_code()

    def _last_release(self) -> Release:
        deployed = (one.what.release.number for one in self.script.incidents if isinstance(one.what, Deploy))
        plan = self.script.first.plan
        return Release(1 + max(deployed, default=1), replace(plan, wanted=1 + self.script.seed % 3))

    def _settle(self, at_most_s: float) -> bool:
        """Until nothing is under way any more; whether that came."""
        until = self.world.now + at_most_s
        while self.world.now < until and not self.world.is_over:
            if self.loop.is_idle and is_quiet(self.world, self.watcher.books, self.loop.state):
                return True
            self.loop.run(min(self.world.now + 1.0, until))
        return False


def run(seed: int) -> Failure | None:
    """The history of this seed; None if every rule held."""
    return History(write_script(seed)).run()


def shrink(failure: Failure) -> Failure:
    """The shortest script that breaks the same rule."""
    best = failure
    size = len(best.script.incidents)
    while size:
        before, start = best, 0
        while start < len(best.script.incidents):
            fewer = best.script.incidents[:start] + best.script.incidents[start + size :]
            shorter = _breaks(replace(best.script, incidents=fewer), failure.rule)
            start += size if shorter is None else 0
            best = shorter or best
        if size == 1 and best is before:
            break
        size = max(1, size // 2)
    for change in ({"last_hup": False}, {"last_stop": None}, {"has_predecessor": False}):
        shorter = _breaks(replace(best.script, **change), best.rule)  # type: ignore[arg-type]
        best = shorter or best
    return best


def _breaks(script: Script, rule: str) -> Failure | None:
    failure = History(script).run()
    return failure if failure is not None and failure.rule == rule else None


def _described(at: float, event: Event, actions: tuple[Action, ...]) -> str:
    match event:
        case TimePassed():
            what = "TimePassed"
        case TemplateLoaded(generation, plan):
            what = f"TemplateLoaded(generation={generation}, {plan.wanted} workers)"
        case _:
            what = str(event)
    done = ", ".join(
        action.sentence.partition("\n")[0] if isinstance(action, Say) else str(action) for action in actions
    )
    return f"{at:8.3f} s  {what}" + (f" -> {done}" if done else "")
