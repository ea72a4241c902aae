"""Faults put into the rules on purpose, and the rule of the world that each must break first."""

from __future__ import annotations

from dataclasses import dataclass

from . import wrong_rules as wrong
from .wrong_rules import Patch


@dataclass(frozen=True)
class Fault:
    what: str
    patch: Patch
    breaks: tuple[str, ...]  # rules, any of which may be the first that it breaks


FAULTS = (
    Fault("retires before ready", wrong.retires_before_ready, ("ready before it takes over",)),
    Fault("promotes with one fewer", wrong.promotes_with_one_fewer, ("ready before it takes over",)),
    Fault(
        "replaces a tired worker without waiting",
        wrong.replaces_a_tired_worker_without_waiting,
        ("ready before another retires",),
    ),
    Fault("trims one too many", wrong.trims_one_too_many, ("ready before another retires",)),
    Fault("does not hear a HUP during a reload", wrong.does_not_hear_a_hup_during_a_reload, ("does what it is told",)),
    Fault(
        "forgets a HUP that came during a reload", wrong.forgets_a_hup_that_came_during_a_reload, ("forgets no HUP",)
    ),
    Fault("loads two generations", wrong.loads_two_generations, ("one loads",)),
    Fault(
        "a failed reload ends the old template",
        wrong.a_failed_reload_ends_the_old_template,
        ("a failed reload changes nothing",),
    ),
    Fault(
        "a failed reload leaves its number of workers",
        wrong.a_failed_reload_leaves_its_number_of_workers,
        ("a failed reload changes nothing", "says what it wants"),
    ),
    Fault("orders from a dead template", wrong.orders_from_a_dead_template, ("orders to the living",)),
    Fault("leaves retired templates alone", wrong.leaves_retired_templates_alone, ("goes quiet",)),
    Fault("does not tell who retires", wrong.does_not_tell_who_retires, ("who retires is told",)),
    Fault(
        "ends templates before their workers have gone",
        wrong.ends_templates_before_their_workers_have_gone,
        ("workers go before their template",),
    ),
    Fault("never sums up", wrong.never_sums_up, ("goes quiet",)),
    Fault("waits for a start that has trouble", wrong.waits_for_a_start_that_has_trouble, ("forgets no HUP",)),
    Fault("loads beside under retire_first", wrong.loads_beside_under_retire_first, ("retire_first",)),
    Fault("never waits after a failure", wrong.never_waits_after_a_failure, ("backs off",)),
    Fault("never counts newborns that are killed", wrong.never_counts_newborns_that_are_killed, ("backs off",)),
    Fault(
        "does not see who is stuck", wrong.does_not_see_who_is_stuck, ("goes quiet", "forgets no HUP", "looks ahead")
    ),
    Fault("looks for who is stuck all the time", wrong.looks_for_who_is_stuck_all_the_time, ("looks ahead",)),
    Fault("counts on who was told to go", wrong.counts_on_who_was_told_to_go, ("orders to the living",)),
    Fault("forgets whom a dead template has forked", wrong.forgets_whom_a_dead_template_has_forked, ("loses nobody",)),
    Fault("wants fewer after a death", wrong.wants_fewer_after_a_death, ("wants what was asked for",)),
    Fault("wakes workers that rest", wrong.wakes_workers_that_rest, ("rests",)),
    Fault("a stop forgets who was ordered", wrong.a_stop_forgets_who_was_ordered, ("loses nobody",)),
    Fault("a stop tells only who is ready", wrong.a_stop_tells_only_who_is_ready, ("a stop tells everybody",)),
    Fault("stops though nobody has answered", wrong.stops_though_nobody_has_answered, ("answers what was accepted",)),
    Fault("tells who comes to answer to go", wrong.tells_who_comes_to_answer_to_go, ("answers what was accepted",)),
    Fault("a stop has no deadline", wrong.a_stop_has_no_deadline, ("looks ahead", "a stop ends")),
    Fault(
        "a stop refuses connections though a new arbiter serves",
        wrong.a_stop_refuses_connections_though_a_new_arbiter_serves,
        ("stops in order",),
    ),
    Fault(
        "forgets the stop that waited for a new arbiter",
        wrong.forgets_the_stop_that_waited_for_a_new_arbiter,
        ("a stop ends",),
    ),
    Fault(
        "a new arbiter that hangs is waited for",
        wrong.a_new_arbiter_that_hangs_is_waited_for,
        ("a stop ends", "goes quiet"),
    ),
    Fault("a new arbiter that starts is killed", wrong.a_new_arbiter_that_starts_is_killed, ("asks before it kills",)),
)
