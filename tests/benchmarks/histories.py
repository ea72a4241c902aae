"""A million histories of the arbiter in the simulated world of `tests/unit/arbiter/simulated`, on all cores.

    python tests/benchmarks/histories.py                 a million, from seed 0
    python tests/benchmarks/histories.py 5000 --from 7   so many, from this seed
    python tests/benchmarks/histories.py --seed 4711     one, told in as few lines as show what breaks

The first history that breaks a rule is printed, shrunk, and ends the run with exit code 1.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "unit" / "arbiter")]

from simulated.history import Failure, run, shrink  # noqa: E402

CHUNK = 500


def failures_of(seeds: range) -> tuple[int, Failure | None]:
    """How many histories, and the first that failed, if any."""
    for seed in seeds:
        failure = run(seed)
        if failure is not None:
            return seed - seeds.start + 1, failure
    return len(seeds), None


def chunks(first: int, count: int) -> Iterator[range]:
    for start in range(first, first + count, CHUNK):
        yield range(start, min(start + CHUNK, first + count))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", nargs="?", type=int, default=1_000_000)
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    args = parser.parse_args()
    if args.seed is not None:
        failure = run(args.seed)
        print(shrink(failure) if failure is not None else f"history {args.seed}: every rule holds")
        return failure is not None
    began, done, said_at = time.monotonic(), 0, time.monotonic()
    with multiprocessing.get_context("spawn").Pool(args.processes) as pool:
        for count, failure in pool.imap_unordered(failures_of, chunks(args.first, args.count)):
            done += count
            if failure is not None:
                print(shrink(failure))
                return 1
            if time.monotonic() - said_at > 60.0:
                said_at = time.monotonic()
                print(f"{done} histories, {said_at - began:.0f} s", flush=True)
    print(f"{done} histories in {time.monotonic() - began:.0f} s: every rule holds in all of them")
    return 0


if __name__ == "__main__":
    sys.exit(main())
