"""The names of worker classes: ours, those that existing files have for the same, and those of other protocols."""

from __future__ import annotations

from .kinds import Choice, Kind, quoted
from .surroundings import Surroundings

SAME = {"gthread": "threads", "gevent_wsgi": "gevent", "gevent_pywsgi": "gevent"}
OTHER_PROTOCOLS = ("asgi", "uvicorn", "uvicorn_worker", "tornado", "aiohttp", "hypercorn")


class WorkerClass(Kind[str]):
    """`sync` and its siblings, by their names, or by the class paths that existing files have for them."""

    names = Choice("sync", "threads", "gevent", "eventlet", same=SAME)
    what = names.what

    def parse(self, text: str, around: Surroundings) -> str:
        word = text.lower().removeprefix("egg:gunicorn#")
        # gunicorn.workers.ggevent.GeventWorker is known by its module; its siblings are variants of the same.
        parts = word.replace(":", ".").split(".")
        if parts[:2] == ["gunicorn", "workers"] and len(parts) > 2:
            word = {"ggevent": "gevent", "geventlet": "eventlet", "gtornado": "tornado"}.get(parts[2], parts[2])
        if word.split(".")[0] in OTHER_PROTOCOLS:
            raise ValueError(
                f"{quoted(text)} runs applications of its own kind; a WSGI application, as Paste loads it, runs "
                "under sync"
            )
        return self.names.parse(word, around)

    def take(self, value: object, around: Surroundings) -> str:
        if isinstance(value, type):
            value = f"{value.__module__}.{value.__qualname__}"
        return super().take(value, around)
