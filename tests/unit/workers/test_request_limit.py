"""After how many requests a worker is tired."""

from __future__ import annotations

import random

from paste_unicorn.settings.resolve import Settings, Source, resolve
from paste_unicorn.workers.recycling import request_limit


def settings(**texts: str) -> Settings:
    resolved = resolve(texts, Source(None, "server:main"), {})
    assert resolved.settings is not None, resolved.problems
    return resolved.settings


def test_it_is_never_tired_without_a_limit() -> None:
    assert request_limit(settings(max_requests_jitter="5")) == 0


def test_each_draws_its_own_jitter_however_the_application_has_seeded_chance() -> None:
    drawn = set()
    for _ in range(60):
        random.seed(1)
        drawn.add(request_limit(settings(max_requests="100", max_requests_jitter="5")))
    assert drawn <= set(range(100, 106))
    assert len(drawn) > 2
