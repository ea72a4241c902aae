"""How often a worker collects: oftener than the interpreter's default, unless the application chose."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from paste_unicorn.workers.collecting import collect_often


@pytest.fixture(autouse=True)
def thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


@pytest.mark.parametrize("default", [(700, 10, 10), (2000, 10, 10)])
def test_a_default_becomes_oftener(default: tuple[int, int, int]) -> None:
    gc.set_threshold(*default)
    collect_often()
    assert gc.get_threshold() == (700, 3, 3)


@pytest.mark.parametrize("own", [(50_000, 20, 100), (0, 10, 10), (700, 10, 1000)])
def test_what_the_application_chose_stays(own: tuple[int, int, int]) -> None:
    gc.set_threshold(*own)
    collect_often()
    assert gc.get_threshold() == own


def test_a_collector_that_is_off_stays_off() -> None:
    gc.disable()
    try:
        collect_often()
        assert not gc.isenabled()
    finally:
        gc.enable()
