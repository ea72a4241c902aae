"""Scenarios of `reliability.py` in which processes end: stops, and SIGKILL of workers and templates."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import time
from collections.abc import Callable

from contenders import Instance
from outcome import IDLE, Result, in_ms, is_answered
from support.client import Client
from support.kills import Kill, cost_of, kill
from support.listeners import queue_length
from support.traffic import STEADY, Load, Report, Traffic, idle


def _stop(instance: Instance, stop: Callable[[], object]) -> Result:
    slow_count, backlog = 20, 16
    with contextlib.ExitStack() as clients:
        slow = [clients.enter_context(Client(instance.address, 60.0)) for _ in range(slow_count)]
        time.sleep(0.3)
        for client in slow:
            client.send(b"GET /sleep?0.5 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with Traffic(instance.address, [Load("hurried", 100, kept=False)]) as traffic:
            until = time.monotonic() + 5.0
            while queue_length(instance.port) <= backlog and time.monotonic() < until:
                time.sleep(0.001)
            asked = time.monotonic()
            stop()
            code = instance.wait_for_end()
            took_s = time.monotonic() - asked
            report = traffic.finish()
        answered = sum(map(is_answered, slow))
    result = Result(report)
    result.remarks.append(f"slow requests answered: {answered} of {slow_count}")
    result.remarks.append(f"exit code {code} after {took_s:.1f} s; refused are those after it")
    failed = report["hurried"].failed
    result.promise(not failed, f"accepted, but not answered: {failed}")
    result.promise(answered == slow_count, f"{slow_count - answered} slow requests were not answered")
    result.promise(code == 0, f"exit code {code}")
    return result


def term(instance: Instance, seconds: int) -> Result:
    return _stop(instance, lambda: instance.signal(signal.SIGTERM))


def paster_stop(instance: Instance, seconds: int) -> Result:
    command = instance.command("--stop-daemon", f"--pid-file={instance.pid_file}")
    return _stop(instance, lambda: subprocess.run(command, cwd=instance.folder, env=instance.environ(), check=True))


def kill_workers(instance: Instance, seconds: int) -> Result:
    kills: list[Kill] = []
    slowest_s = 0.0
    with Traffic(instance.address, STEADY) as traffic:
        began = time.monotonic()
        for number in range(seconds * 2 * 2 // 3):
            time.sleep(max(0.0, began + 0.5 * (number + 1) - time.monotonic()))
            before = instance.ready()
            kills.append(kill(random.choice(before)))
            ready = instance.wait_for_new(before, 1, timeout_s=2.0)
            slowest_s = max(slowest_s, (ready or float("inf")) - kills[-1].at)
        time.sleep(0.5)
        report = traffic.finish()
    return _judge_kills(report, kills, f"the next one ready at most {in_ms(slowest_s)} after it", slowest_s)


def _judge_kills(report: Report, kills: list[Kill], remark: str, slowest_s: float) -> Result:
    result = Result(report)
    cost = cost_of(report, kills, within_s=0.1)
    result.remarks.append(f"{len(kills)} kills, {remark}")
    result.remarks.append(
        f"cost: {cost.held} connections that they held, {cost.under_way} first requests under way, "
        f"{len(cost.unexplained)} others; seen at most {in_ms(cost.slowest_end_s)} after it"
    )
    result.promise(not cost.unexplained, f"not explained by a kill: {cost.unexplained[:3]}")
    result.promise(cost.under_way <= len(kills), "more than one request under way for each kill")
    result.promise(all(not counts.refused for counts in report.loads.values()), "connections were refused")
    result.promise(slowest_s < 0.2, f"a worker was ready only after {in_ms(slowest_s)}")
    return result


def kill_the_template(instance: Instance, seconds: int) -> Result:
    return _kill_template_and(instance, list)


def kill_template_and_worker(instance: Instance, seconds: int) -> Result:
    return _kill_template_and(instance, lambda: [kill(random.choice(instance.ready()))])


def _kill_template_and(instance: Instance, others: Callable[[], list[Kill]]) -> Result:
    with Traffic(instance.address, [*STEADY, idle(IDLE)]) as traffic:
        time.sleep(1.0)
        before = instance.ready()
        instance.code.write("v2")
        template = kill(instance.template())
        kills = others()
        ready = instance.wait_for_new(before)
        time.sleep(3.0)
        report = traffic.finish()
    took_s = (ready or float("inf")) - template.at
    remark = f"a new generation ready {in_ms(took_s)} after it"
    if kills:
        result = _judge_kills(report, [template, *kills], remark, 0.0)
    else:
        result = Result(report, [remark])
        result.promise_nothing_lost()
        result.remark_idle(IDLE)
    result.promise(ready is not None and report.versions[-1] == "v2", "a new generation is ready")
    return result
