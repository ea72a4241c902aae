"""What must hold for each single action of the arbiter."""

from __future__ import annotations

from paste_unicorn.arbiter import actions as do
from paste_unicorn.arbiter import events as on
from paste_unicorn.arbiter.actions import Action
from paste_unicorn.arbiter.events import Event, Signal
from paste_unicorn.arbiter.state import Arbiter, Generation, Phase, Standing

from .books import RUNNING, Books, Broken

_EPSILON_S = 1e-6


class Orders:
    """Owned by one history."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self.to_conclude: list[int] = []
        self.concluded: list[int] = []
        self.has_announced_serving = False
        self.loads_announced = self.loads_for_hup = 0
        self.has_let_go = False
        self.has_stopped_listening = False
        self.has_taken_over = False

    def check(self, before: Arbiter, event: Event, action: Action, after: Arbiter) -> None:
        """Before it is entered into the books. Raises Broken."""
        match action:
            case do.SignalWorker(pid, signal):
                self._worker(pid, signal, action)
            case do.ForkWorker():
                self._fork(action, after)
            case do.EquipGeneration(generation):
                self._template(generation, action)
            case do.EndTemplate(generation):
                self._end_template(generation, event, action, after)
            case do.KillTemplate(generation, pid):
                self._process(pid, action)
                self._end_template(generation, event, action, after)
            case do.KillSuccessor(pid):
                self._process(pid, action)
                self._kill_successor(before)
            case do.StartTemplate():
                self._load(before, event, action, after)
            case do.ClearSlot(_, pid) if pid not in self.books.gone:
                raise Broken("orders to the living", f"{action}, but its worker has not been reaped")
            case do.AdoptGeneration(generation):
                if before.coming is None or before.coming.number != generation:
                    raise Broken("one serves", f"{action}: it was not coming")
                self._adopt(before.coming, before, after)
            case do.LetGo():
                if self.has_let_go or not after.policy.retire_first:
                    raise Broken("retire_first", f"{action} twice, or without need")
                self.has_let_go = True
            case do.StartSuccessor() if before.successor is not None or before.policy.no_upgrade:
                raise Broken("one successor", f"{action} beside {before.successor}")
            case do.TakeOver():
                if self.has_taken_over or not before.has_predecessor:
                    raise Broken("one successor", f"{action} twice, or from nobody")
                self.has_taken_over = True
            case do.StopListening():
                self.has_stopped_listening = True
                if after.successor is not None or after.has_predecessor:
                    raise Broken("stops in order", "connections are refused though another arbiter serves here")
            case do.ShareListening() if after.successor is None and not after.has_predecessor:
                raise Broken("stops in order", "nobody is there to go on with the sockets")
            case _:
                self._saying(action, after)

    def _adopt(self, coming: Generation, before: Arbiter, after: Arbiter) -> None:
        """A reload that took over completely is summed up; the start is announced instead."""
        adopted = after.generation(coming.number)
        wanted = min(coming.wanted, adopted.wanted) if adopted is not None else coming.wanted
        starts = before.serving is None and before.phase is Phase.STARTING
        if self.books.ready_of(coming.number) >= wanted and not starts:
            self.to_conclude.append(coming.number)

    def _saying(self, action: Action, after: Arbiter) -> None:
        match action:
            case do.AnnounceServing():
                if self.has_announced_serving:
                    raise Broken("says once", "that it serves was announced twice")
                self.has_announced_serving = True
            case do.AnnounceReload():
                self.loads_announced += 1
            case do.AnnounceWorkers(_, announced) if announced != self.books.announced:
                raise Broken("says what it wants", f"{action}, but {self.books.announced} were announced before")
            case do.Conclude(generation):
                if generation not in self.to_conclude or generation in self.concluded:
                    raise Broken("concludes once", f"{action}")
                if any(older < generation for older in self.books.known.values()):
                    raise Broken("concludes once", f"{action}, but older workers are there")
                self.concluded.append(generation)

    def _process(self, pid: int, action: Action) -> None:
        if not pid or pid in self.books.gone:
            raise Broken("orders to the living", f"{action}: it was known to be gone")

    def _worker(self, pid: int, signal: str, action: Action) -> None:
        self._process(pid, action)
        if pid not in self.books.known:
            raise Broken("orders to the living", f"{action}: no worker has this pid")
        if signal == "TERM" and pid in self.books.told:
            raise Broken("orders to the living", f"{action}: it was told to go before")

    def _template(self, generation: int, action: Action) -> None:
        if generation in self.books.templates_gone:
            raise Broken("orders to the living", f"{action}: its template was known to be gone")
        if generation in self.books.templates_told:
            raise Broken("orders to the living", f"{action}: its template was told to go")

    def _end_template(
        self, number: int, event: Event, action: do.EndTemplate | do.KillTemplate, after: Arbiter
    ) -> None:
        """It may be told twice; one of whom workers are wanted is spared, unless it hangs."""
        if number in self.books.templates_gone:
            raise Broken("orders to the living", f"{action}: its template was known to be gone")
        if after.phase not in RUNNING:
            return
        generation = after.generation(number)
        if generation is None or generation.standing is Standing.RETIRING:
            self._end_retired(number, action, after)
        elif not (isinstance(event, on.TimePassed) and isinstance(action, do.KillTemplate)):
            raise Broken("a failed reload changes nothing", f"{action}, but it is {generation.standing.value}")

    def _end_retired(self, number: int, action: do.EndTemplate | do.KillTemplate, after: Arbiter) -> None:
        """Its workers go first; and it is asked before it is killed, unless it doesn't report that they have gone."""
        workers = [pid for pid, generation in self.books.known.items() if generation == number]
        if isinstance(action, do.EndTemplate):
            if workers or after.filled(number):
                raise Broken("workers go before their template", f"{action}, but {workers} are there, or ordered")
            return
        asked = number in self.books.templates_told or number not in self.books.templates_loaded
        if action.signal == "KILL" and not asked and not workers and number in self.books.equipped:
            raise Broken("asks before it kills", f"{action}, which has not been asked to go")

    def _kill_successor(self, before: Arbiter) -> None:
        books, successor = self.books, before.successor
        assert successor is not None
        lived_s = books.world.now - books.successor_since
        if successor.is_ready or lived_s < 2 * before.policy.boot_timeout_s:
            raise Broken("asks before it kills", f"{successor} is killed after {lived_s:.3f} s")

    def _fork(self, action: do.ForkWorker, after: Arbiter) -> None:
        books = self.books
        self._template(action.generation, action)
        generation = after.generation(action.generation)
        if after.phase is Phase.STOPPING and action.generation in books.equipped:
            if books.known or after.shares_sockets:
                raise Broken("who retires gets nobody", f"{action}, but somebody is there, or goes on elsewhere")
            return  # nobody else is there who could answer
        if after.phase not in RUNNING or generation is None or generation.standing is Standing.RETIRING:
            raise Broken("who retires gets nobody", f"{action}, but that generation retires")
        if action.generation not in books.equipped:
            raise Broken("orders to the living", f"{action}, but its template has no listeners yet")
        filled = after.filled(action.generation)
        tired = any(slot.tired for slot in filled)
        if len(filled) > generation.wanted + int(tired and generation.wanted > 0):
            raise Broken("one after the other", f"{action}: {len(filled)} workers where {generation.wanted} are wanted")
        if books.is_resting:
            raise Broken("rests", f"{action} after WINCH")
        if books.birth_failed_at is not None:
            waited_s = books.world.now - books.birth_failed_at
            if waited_s < (0.1 if books.birth_failures < 6 else 1.0) - _EPSILON_S:
                raise Broken("backs off", f"{action} {waited_s:.3f} s after failure {books.birth_failures}")
            books.birth_failed_at = None

    def _load(self, before: Arbiter, event: Event, action: do.StartTemplate, after: Arbiter) -> None:
        books, world = self.books, self.books.world
        for number in books.templates_known - books.templates_told - books.templates_gone:
            if world.templates[number].is_alive and not world.templates[number].has_loaded:
                raise Broken("one loads", f"{action}, but generation {number} still loads")
        if after.policy.retire_first:
            if not self.has_let_go:
                raise Broken("retire_first", f"{action} before the arbiter let go of what loading opened in it")
            if books.known:
                raise Broken("retire_first", f"{action} beside workers {sorted(books.known)}")
            if others := sorted(set(world.templates) - books.templates_gone):
                raise Broken("retire_first", f"{action} beside the templates of generations {others}")
        if not after.policy.can_load_again:
            raise Broken("loads what it can", f"{action}, but it is not known from where")
        hup = isinstance(event, on.SignalArrived) and event.signal is Signal.HUP
        if (before.reload_wanted or hup) and not after.reload_wanted:
            if self.loads_announced != self.loads_for_hup + 1:
                raise Broken("says once", f"{action} for a HUP, but no reload was announced")
            self.loads_for_hup += 1
            return  # at once
        if books.load_failed_at is not None and world.now - books.load_failed_at < 0.5 - _EPSILON_S:
            raise Broken("backs off", f"{action} {world.now - books.load_failed_at:.3f} s after a load that failed")
        books.load_failed_at = None


def makes_way(event: Event) -> bool:
    """Whether a generation that nobody stands beside may serve before it is complete: its template has gone, or trouble
    with its workers must not keep the next one waiting.
    """
    if isinstance(event, on.SignalArrived):
        return event.signal is Signal.HUP
    return isinstance(event, on.ProcessExited | on.ForkFailed)
