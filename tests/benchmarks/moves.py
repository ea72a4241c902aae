"""Scenarios of `reliability.py` in which connections go from worker to worker: many at once, and in the daily round."""

from __future__ import annotations

import signal
import time

from contenders import Instance
from outcome import Result, in_ms, is_answered
from support.client import Client
from support.processes import wait_until_gone
from support.traffic import KEPT, STEADY, Load, Traffic, idle


def retire_very_many(instance: Instance, seconds: int) -> Result:
    count = 8_000
    before = instance.ready()
    with Traffic(instance.address, [*STEADY, idle(count, sources=8)]) as traffic:
        instance.code.write("v2")
        instance.signal(signal.SIGHUP)
        # To ask the kernel who is ready would hold up a server that watches thousands of connections.
        left = wait_until_gone(before, 40.0)
        time.sleep(1.0)
        report = traffic.finish()
    result = Result(report)
    result.promise_nothing_lost()
    result.remark_idle(count)
    if report.versions[-1] == "v2":
        took_s = (report.last_seen("v1 ") or 0.0) - (report.first_seen("v2 ") or 0.0)
        result.remarks.append(f"old code answered for {in_ms(max(0.0, took_s))} after new code did")
    result.promise(not left, f"{len(left)} old workers did not go")
    result.promise(report.steady.max_s < 0.060, f"another client waited {in_ms(report.steady.max_s)}")
    return result


def one_slow_request(instance: Instance, seconds: int) -> Result:
    fast = Load("fast", 10, every_s=0.05)
    with Traffic(instance.address, [fast]) as traffic:
        for _ in range(200):  # until we are held by the worker that holds most of the others
            bodies = traffic.counts()["fast"].bodies
            busiest = max(bodies, key=lambda body: bodies[body][0])
            client = Client(instance.address, 30.0)
            client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            if client.read_answer().body.decode().strip() == busiest:
                break
            client.close()
        with client:
            client.send(b"GET /sleep?5 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answered = is_answered(client)
        time.sleep(0.5)
        report = traffic.finish()
    result = Result(report)
    result.promise_nothing_lost()
    result.promise(answered, "the slow request was not answered")
    result.promise(report.steady.p99_s < 0.060, f"p99 of the fast ones is {in_ms(report.steady.p99_s)}")
    return result


def recycle(instance: Instance, seconds: int) -> Result:
    with Traffic(instance.address, [KEPT]) as traffic:
        time.sleep(seconds * 2 / 3)
        report = traffic.finish()
    result = Result(report)
    result.promise_nothing_lost()
    processes = {body for counts in report.loads.values() for body in counts.bodies}
    result.remarks.append(f"{len(processes)} workers answered")
    result.promise(len(processes) > seconds, "workers are replaced")
    return result
