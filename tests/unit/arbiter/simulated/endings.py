"""What must hold of the end: a stop ends, in order; and every history that goes quiet ends well."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paste_unicorn.arbiter import actions as do
from paste_unicorn.arbiter import events as on
from paste_unicorn.arbiter.actions import Action
from paste_unicorn.arbiter.events import Event
from paste_unicorn.arbiter.state import Arbiter, Phase, SlotPhase, StopStage, TemplatePhase

from .books import RUNNING, STOPS, Books, Broken
from .processes import Release, Worker
from .world import World

if TYPE_CHECKING:
    from .force import Force
    from .invariants import Watcher
    from .orders import Orders

_KILLING_S = 3.0  # three stages, each with a second for what was killed
_LOOKS = 5


class Stopping:
    """Owned by one history."""

    def __init__(self, books: Books, orders: Orders, force: Force) -> None:
        self.books = books
        self.force = force
        self.orders = orders
        self.left: do.Leave | None = None
        self._code = 0
        self._is_deserted = False  # nobody was ready when it began, nor has been since
        self._lets_come = False  # who was not told to go goes by itself
        self._may_fail = False  # there is a reason why nobody comes
        self._since = 0.0
        self._late_looks = 0

    def step(self, before: Arbiter, event: Event, actions: tuple[Action, ...], after: Arbiter) -> None:
        """Raises Broken."""
        stop, now = after.stop, self.books.world.now
        assert stop is not None
        if before.phase is not after.phase:
            self._since, self._late_looks = now, 0
        if before.phase in RUNNING:
            self._code = self._code_of(before, event)
        if self.left is not None:
            return
        begins_to_retire = before.phase in RUNNING and after.phase is Phase.STOPPING and after.shares_sockets
        if begins_to_retire and do.ShareListening() not in actions:
            raise Broken("stops in order", "what waits where no other arbiter listens is lost")
        for pid in self.books.known:
            if pid not in self.books.told and not self._lets_come:
                raise Broken("a stop tells everybody", f"the worker with pid {pid} was not told")
        timed = isinstance(event, on.TimePassed)
        waited_for = after.slots or after.templates_alive()
        waits = self._lets_come and stop.is_deserted
        untold = self.books.templates_known - self.books.templates_told - self.books.templates_gone
        if not waited_for or (not after.slots and untold and not waits):
            raise Broken("stops without delay", f"nobody is waited for, or {untold} are not told to end")
        if not timed and any(slot.phase is SlotPhase.ORDERED for slot in after.slots):
            for action in actions:
                if isinstance(action, do.EndTemplate | do.KillTemplate):
                    raise Broken("stops in order", f"{action}, but workers were ordered")
        if timed and now > self._since + max(after.policy.stop_s, after.policy.quick_s) + _KILLING_S:
            self._late_looks += 1
            if self._late_looks > _LOOKS:
                raise Broken("a stop ends", f"after {now - self._since:.1f} s it has not: {after}")

    def hear(self, before: Arbiter, event: Event, after: Arbiter) -> None:
        """Whether somebody has come to answer what the kernel has accepted, or what keeps them from coming."""
        if before.phase in RUNNING:
            stops = before.phase is Phase.SERVING and after.phase is Phase.STOPPING and not after.shares_sockets
            self._is_deserted = self._lets_come = stops and not before.in_phase(SlotPhase.READY)
            self._may_fail = bool(before.births.failures) or not self._could_fork(before)
        elif after.phase is Phase.QUITTING:
            self._is_deserted = self._lets_come = False
        match event:
            case on.WorkerReady():
                self._is_deserted = False
            case on.ForkFailed() | on.TemplateFailed():
                self._may_fail = True
            case on.ProcessExited(pid):
                slot, template = before.slot_of_pid(pid), before.template_of_pid(pid)
                unborn = slot is not None and slot.ready_since is None
                if unborn and slot.phase not in (SlotPhase.ABORTING, SlotPhase.KILLED):
                    unborn = pid not in self.books.told  # to go, before it could answer
                lost = template is not None and template.number not in self.books.templates_told
                self._may_fail = self._may_fail or unborn or lost

    def _could_fork(self, before: Arbiter) -> bool:
        """Whether there is a template that can have workers, or will."""
        books = self.books
        alive = books.templates_known - books.templates_gone - books.templates_told
        coming = before.coming.number if before.coming is not None else 0
        return any(number in books.equipped or number == coming for number in alive)

    def _is_hopeless(self, after: Arbiter) -> bool:
        """Whether nobody could come any more to answer what the kernel has accepted."""
        over = self.books.world.now >= self._since + after.policy.stop_s
        return self._may_fail or over

    def _code_of(self, before: Arbiter, event: Event) -> int:
        """Of the exit of a stop that this event may begin."""
        match event:
            case on.SignalArrived(signal) if signal in STOPS:
                return 0
            case on.SuccessorReady() if before.policy.upgrade_at_once or before.stop_wanted:
                return 0
            case on.SuccessorFailed() if before.stop_wanted:
                return 0
            case on.ProcessExited(pid) if before.stop_wanted and before.successor and pid == before.successor.pid:
                return 0
            case on.TemplateFailed() | on.ProcessExited() | on.TimePassed() if before.phase is Phase.STARTING:
                hopeless = before.has_predecessor or not before.policy.can_load_again
                first = before.coming is not None and not before.coming.why
                if first and (hopeless or isinstance(event, on.TemplateFailed)):
                    return 1
        raise Broken("only a stop ends it", f"{event} ended it")

    def check_leave(self, action: do.Leave, after: Arbiter) -> None:
        """Raises Broken."""
        books, stop = self.books, after.stop
        assert stop is not None
        self.left = action
        if action.code != stop.code:
            raise Broken("stops in order", f"{action}, but the stop began with code {stop.code}")
        others = after.successor is not None or after.has_predecessor
        if action.succeeded != others:
            raise Broken("stops in order", f"{action}, but another arbiter is there: {others}")
        if self._is_deserted and not self._is_hopeless(after):
            raise Broken("answers what was accepted", "no worker was there, and none was let come")
        if not others and not self.orders.has_stopped_listening:
            raise Broken("stops in order", "nobody goes on, and what the kernel had accepted is lost")
        if stop.stage is StopStage.TEMPLATES_KILLED:
            self.force.check_leave()
        else:
            if books.known:
                raise Broken("a stop waits for everybody", f"the workers with pids {sorted(books.known)} are there")
            if templates := sorted(set(books.world.templates) - books.templates_gone):
                raise Broken("a stop waits for everybody", f"the templates of {templates} are there")

    def check_code(self) -> None:
        """Raises Broken."""
        assert self.left is not None
        if self.left.code != self._code:
            raise Broken("the exit code is true", f"{self.left}, where {self._code} would be")


def known_workers(world: World, books: Books) -> list[Worker]:
    """Those that live; without any whose template died before it could report it, and that never said a word."""
    return [worker for worker in world.living_workers() if worker.pid in books.known]


def is_quiet(world: World, books: Books, state: Arbiter) -> bool:
    """Whether nothing is under way, neither in the world nor as the arbiter sees it."""
    serving = state.serving
    if state.phase is not Phase.SERVING or serving is None or len(state.generations) > 1:
        return False
    if state.reload_wanted or state.changes or (state.successor is not None and not state.successor.is_ready):
        return False
    if serving.template is not TemplatePhase.READY or len(state.slots) != serving.wanted:
        return False
    if world.next_at < float("inf") or world.has_news:
        return False
    policy = state.policy
    for worker in known_workers(world, books):
        stuck = policy.timeout_s and worker.hangs_since is not None
        old = policy.lifetime_s and world.now - worker.ready_at > policy.lifetime_s + policy.lifetime_jitter_s
        large = policy.most_memory and worker.memory > policy.most_memory
        if stuck or old or large:
            return False
    return all(slot.phase is SlotPhase.READY and not slot.tired and slot.suspicion is None for slot in state.slots)


def check_nothing_forgotten(books: Books, state: Arbiter) -> None:
    """When there was time enough for all that was asked for. Raises Broken."""
    if books.stop_was_asked:
        raise Broken("a stop ends", f"it has not: {state}")
    if books.last_load_at < books.last_hup_at:
        raise Broken("forgets no HUP", f"HUP at {books.last_hup_at:.3f} s, and nothing was loaded since")


def check_end(watcher: Watcher, state: Arbiter, last: Release, *, was_asked: bool, quiet: bool) -> None:
    """After the last incident; `last` lies on the disk, `was_asked` if a HUP asked for it. Raises Broken."""
    world, books, orders = watcher.world, watcher.books, watcher.orders
    if not state.policy.can_load_again:
        return  # what is gone stays gone, and the log has said so
    serving = state.serving
    newest = serving or state.coming
    release = world.templates[newest.number].release if newest is not None else None
    if release is not None and not release.is_good and not was_asked:
        return  # crashes for ever, until somebody corrects it
    if not quiet or serving is None:
        raise Broken("goes quiet", f"something is under way for ever: {state}, {world.next_at - world.now:.1f} s")
    if was_asked and release is not last:
        raise Broken("the newest good generation", f"{release} serves, {last} is the newest")
    if books.announced != state.wanted:
        raise Broken("says what it wants", f"{books.announced} workers announced, {state.wanted} wanted")
    wanted = 0 if books.is_resting or (books.may_rest and not serving.wanted) else state.wanted
    wanted = last.plan.wanted if was_asked else wanted
    living = known_workers(world, books)
    good = [one for one in living if one.is_serving and not one.is_retiring and one.generation == serving.number]
    if not len(good) == len(living) == wanted == serving.wanted:
        raise Broken("exactly the wanted workers", f"{len(good)} of {len(living)} are good; {wanted} wanted")
    if (templates := [one.generation for one in world.living_templates()]) != [serving.number]:
        raise Broken("exactly the wanted workers", f"templates of {templates} live")
    if missing := [one for one in orders.to_conclude if one not in orders.concluded]:
        raise Broken("concludes once", f"the reloads to {missing} were never summed up")
    if not orders.has_announced_serving:
        raise Broken("says once", "that it serves was never announced")
    successor = world.successor is not None and world.successor.is_alive
    if (state.successor is not None) != successor or state.stop_wanted:
        raise Broken("one successor", f"{state.successor}, {state.stop_wanted}; it lives: {successor}")
    if world.predecessor_has_ended and not orders.has_taken_over:
        raise Broken("one successor", "the arbiter before has gone, and this one has not taken over")
