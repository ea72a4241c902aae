"""Scenarios of `reliability.py` in which new code takes over, or fails to: HUP and USR2."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from contenders import Instance
from outcome import IDLE, Result, in_ms
from support.processes import send_signal
from support.traffic import STEADY, Traffic, idle


def hup(instance: Instance, seconds: int) -> Result:
    with Traffic(instance.address, [*STEADY, idle(IDLE)]) as traffic:
        began, delays, slowest_s = time.monotonic(), [], 0.0
        for number in range(seconds // 2):
            time.sleep(max(0.0, began + 2.0 * number + 0.5 - time.monotonic()))
            before = instance.ready()
            instance.code.write(f"v{number + 2}")
            asked = time.monotonic()
            instance.signal(signal.SIGHUP)
            ready = instance.wait_for_new(before, timeout_s=2.0)
            if ready is not None:
                delays.append((f"v{number + 2} ", ready))
                slowest_s = max(slowest_s, ready - asked)
        time.sleep(2.0)
        report = traffic.finish()
    result = Result(report)
    result.promise_nothing_lost()
    result.remark_idle(IDLE)
    late = [(report.first_seen(version) or float("inf")) - ready for version, ready in delays]
    result.remarks.append(
        f"{len(delays)} of {seconds // 2} reloads ready within 2 s; at most {in_ms(slowest_s)} after HUP"
    )
    if late:
        result.remarks.append(f"new code answers at most {in_ms(max(0.0, *late))} after that")
    result.promise(
        len(delays) == seconds // 2 and max(late) < 1.0, "new code within a second of its workers' readiness"
    )
    return result


def _failing_reload(instance: Instance, spoil: Callable[[], None]) -> Result:
    before = set(instance.processes())
    with Traffic(instance.address, [*STEADY, idle(IDLE)]) as traffic:
        time.sleep(1.0)
        spoil()
        instance.signal(signal.SIGHUP)
        time.sleep(4.0)
        report = traffic.finish()
    gone = len(before - set(instance.processes()))
    result = Result(report)
    result.promise_nothing_lost()
    result.remark_idle(IDLE)
    if gone:
        result.remarks.append(f"{gone} of {len(before)} processes have ended")
    if instance.process.poll() is not None:
        result.remarks.append(f"**the server has ended** (exit code {instance.process.returncode})")
    result.promise(gone == 0, f"{gone} processes have ended")
    result.promise(report.versions == ["v1"], f"answers of {report.versions}")
    return result


def hup_with_a_syntax_error(instance: Instance, seconds: int) -> Result:
    return _failing_reload(instance, instance.code.break_it)


def hup_with_a_wrong_setting(instance: Instance, seconds: int) -> Result:
    return _failing_reload(instance, lambda: instance.set(workers="many"))


def hup_with_a_failing_warm_up(instance: Instance, seconds: int) -> Result:
    def spoil() -> None:
        instance.code.write("v2", fails_to_warm=True)
        instance.set(warmup="/warm")

    return _failing_reload(instance, spoil)


def upgrade(instance: Instance, seconds: int) -> Result:
    rounds, done, slowest_s = 5, 0, 0.0
    with Traffic(instance.address, [*STEADY, idle(IDLE)]) as traffic:
        for number in range(rounds):
            time.sleep(0.5)
            instance.code.write(f"v{number + 2}")
            before, workers = instance.pid, instance.ready()
            asked = time.monotonic()
            instance.signal(signal.SIGUSR2)
            ready = instance.wait_for_new(workers)
            if ready is None:
                break
            slowest_s = max(slowest_s, ready - asked)
            time.sleep(0.2)  # an operator looks first
            send_signal(before, signal.SIGTERM)  # the pid file may name the new one already
            if not instance.wait_for_another(before):
                break
            done += 1
        time.sleep(0.5)
        report = traffic.finish()
    result = Result(report)
    result.promise_nothing_lost()
    result.remark_idle(IDLE)
    result.remarks.append(f"{done} of {rounds} upgrades; new workers ready at most {in_ms(slowest_s)} after USR2")
    result.promise(done == rounds, f"{done} of {rounds} upgrades")
    return result
