"""What must hold after every step of every history, whatever befalls; each rule has a name under which it breaks.

For single actions see `orders.py`, for who may be killed `force.py`, for what must follow at once `duties.py`, for the
end of a history `endings.py`.
"""

from __future__ import annotations

from paste_unicorn.arbiter import actions as do
from paste_unicorn.arbiter import events as on
from paste_unicorn.arbiter.actions import Action
from paste_unicorn.arbiter.events import Event, Signal
from paste_unicorn.arbiter.rules import overdue
from paste_unicorn.arbiter.state import Arbiter, Generation, Phase, SlotPhase, Standing, TemplatePhase

from .books import MOST_KILLED, RUNNING, Books, Broken
from .duties import check_duties
from .endings import Stopping
from .force import Force
from .orders import Orders, makes_way
from .world import World


class Watcher:
    """Owned by one history."""

    def __init__(self, world: World, workers: int) -> None:
        self.world = world
        self.books = Books(world, workers)
        self.orders = Orders(self.books)
        self.force = Force(self.books)
        self.stopping = Stopping(self.books, self.orders, self.force)

    def step(self, before: Arbiter, event: Event, actions: tuple[Action, ...], after: Arbiter) -> None:
        """Raises Broken."""
        books, stopping = self.books, self.stopping
        serving = before.serving or before.coming
        were_ready = books.ready_of(serving.number) if serving is not None else 0
        books.hear(before, event, after)
        stopping.hear(before, event, after)
        remained = books.ready_of(serving.number) if serving is not None else 0
        self.force.check(before, event, actions, after)
        if stopping.left is None:
            check_duties(before, event, actions, after)
        for action in actions:
            if stopping.left is not None:
                raise Broken("leaves once", f"{action} after the arbiter has left")
            self.orders.check(before, event, action, after)
            books.enter(action)
            if isinstance(action, do.Leave):
                stopping.check_leave(action, after)
        self._structure(after)
        if after.phase not in RUNNING:
            stopping.step(before, event, actions, after)
        elif before.slots is not after.slots or before.generations is not after.generations:
            self._readiness(before, event, actions, after, were_ready, remained)
            self._generations(before, event, actions, after)
            self._wishes(before, event, after)
        looks = isinstance(event, on.TimePassed) and stopping.left is None
        if looks and overdue.next_look(after, self.world.now) <= self.world.now:
            raise Broken("looks ahead", "the next look would be at once: the arbiter would spin")

    def _structure(self, state: Arbiter) -> None:
        books = self.books
        coming = serving = 0
        standings: dict[int, Standing] = {}
        for one in state.generations:
            standings[one.number] = one.standing
            coming += one.standing is Standing.COMING
            serving += one.standing is Standing.SERVING
        if coming > 1 or serving > 1:
            raise Broken("one loads", f"{coming} generations are coming, {serving} serve")
        pids = set()
        running = state.phase in RUNNING
        for slot in state.slots:
            pid = slot.pid
            if not pid:
                if slot.phase is not SlotPhase.ORDERED:
                    raise Broken("knows whom it means", f"{slot}")
                continue
            if slot.phase is SlotPhase.ORDERED or pid in pids or pid not in books.known:
                raise Broken("knows whom it means", f"{slot}: twice, or nobody who is known to live")
            pids.add(pid)
            retires = standings.get(slot.generation, Standing.RETIRING) is Standing.RETIRING
            if running and retires and pid not in books.told:
                raise Broken("who retires is told", f"{slot}: its generation retires")
        if len(pids) != len(books.known):
            raise Broken("loses nobody", f"the workers with pids {set(books.known) - pids} live, and are forgotten")

    def _readiness(
        self,
        before: Arbiter,
        event: Event,
        actions: tuple[Action, ...],
        after: Arbiter,
        were_ready: int,
        remained: int,
    ) -> None:
        """Nobody retires before a replacement is ready, and only deaths make the ready ones fewer than wanted.
        `remained` is how many there were after the event, and before the arbiter did anything about it.
        """
        old, new = before.serving or before.coming, after.serving
        if old is None:
            return
        told = stuck = 0
        for action in actions:
            if isinstance(action, do.SignalWorker) and self.books.known.get(action.pid) == old.number:
                slot = before.slot_of_pid(action.pid)
                was_ready = slot is not None and slot.phase is SlotPhase.READY
                told += was_ready and action.signal == "TERM"
                stuck += was_ready and action.signal in ("ABRT", "KILL")
        if new is None:
            if told and before.serving is not None:
                self._retire_first(before, after)
            return
        ready = self.books.ready_of(new.number)
        if new.number != old.number or before.serving is None:
            # It took over.
            alone = makes_way(event) and (before.serving is None or not remained)
            if ready < new.wanted and not alone:
                sentence = f"generation {new.number} serves with {ready} of {new.wanted}"
                raise Broken("ready before it takes over", sentence)
            return
        if ready < min(were_ready, remained - stuck, new.wanted):
            raise Broken("ready before another retires", f"{ready} ready, {remained} before, {new.wanted} wanted")
        surplus = remained - new.wanted
        if told > max(surplus, 0):
            raise Broken("a lowered wish", f"{told} told to go, {surplus} are too many")

    def _retire_first(self, before: Arbiter, after: Arbiter) -> None:
        assert before.serving is not None
        number = before.serving.number
        asked = after.reload_wanted or before.reload_wanted
        if not after.policy.retire_first or not (asked or number in self.books.templates_gone):
            raise Broken("ready before another retires", f"generation {number} retires, and nobody takes over")

    def _generations(self, before: Arbiter, event: Event, actions: tuple[Action, ...], after: Arbiter) -> None:
        was, serving, coming = before.serving, after.serving, before.coming
        is_new = serving is not None and (was is None or was.number != serving.number)
        if serving is not None and is_new and do.AdoptGeneration(serving.number) not in actions:
            raise Broken("one serves", f"generation {serving.number} serves without having been adopted")
        if coming is None or (after.coming is not None and after.coming.number == coming.number):
            return
        if do.AdoptGeneration(coming.number) in actions:
            return
        # It failed.
        self._has_reason(coming, before, event)
        if (was is None or was.template is TemplatePhase.GONE) and self.books.load_failed_at is None:
            self.books.load_failed_at = self.world.now
        if was is not None:
            same = serving is not None and _essence(serving) == _essence(was)
            has_died_out = was.number in self.books.templates_gone and was.number not in self.books.known.values()
            if not same and not has_died_out and not (before.policy.retire_first and after.reload_wanted):
                raise Broken("a failed reload changes nothing", f"{was} became {serving}")
            if (after.wanted, after.policy) != (before.wanted, before.policy):
                raise Broken("a failed reload changes nothing", f"{after.wanted} workers, {after.policy}")

    def _has_reason(self, coming: Generation, before: Arbiter, event: Event) -> None:
        alone = before.serving is None or before.serving.template is TemplatePhase.GONE
        asked = before.reload_wanted and alone
        match event:
            case on.TemplateFailed(number) if number == coming.number:
                return
            case on.ProcessExited(pid) if pid == coming.pid or asked:
                return
            case on.ProcessExited(pid) if (slot := before.slot_of_pid(pid)) and slot.generation == coming.number:
                young = slot.ready_since is None or self.world.now - slot.ready_since < 1.0
                blamed = event.by_itself or slot.phase is not SlotPhase.STARTING
                blamed = blamed or self.books.killed_newborns > MOST_KILLED
                if young and blamed and slot.phase is not SlotPhase.RETIRING:
                    return
            case on.ForkFailed() if asked:
                return
            case on.TimePassed() if self.world.now - coming.since > coming.policy.boot_timeout_s:
                return
            case on.SignalArrived(Signal.HUP) if before.serving is None or before.phase is Phase.STARTING:
                if before.births.failures or before.loads.failures:
                    return
        raise Broken("a reload fails for a reason", f"generation {coming.number} was given up at {event}")

    def _wishes(self, before: Arbiter, event: Event, after: Arbiter) -> None:
        was, now = before.serving, after.serving
        if was is None or now is None or was.number != now.number or was.wanted == now.wanted:
            return
        match event:
            case on.SignalArrived(Signal.TTIN):
                lawful = now.wanted == after.wanted and now.wanted in (before.wanted + 1, 1)
            case on.SignalArrived(Signal.TTOU):
                lawful = now.wanted == was.wanted - 1 > 0
            case on.SignalArrived(Signal.WINCH):
                lawful = now.wanted == 0
            case _:
                lawful = False
        if not lawful:
            raise Broken("wants what was asked for", f"{was.wanted} workers, then {now.wanted}")


def _essence(generation: Generation) -> tuple[object, ...]:
    return generation.number, generation.standing, generation.wanted, generation.policy
