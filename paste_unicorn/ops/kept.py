"""Our loggers, kept from what `logging.config` does to those that a configuration doesn't name.

`dictConfig` and `fileConfig` disable all of them, unless told otherwise. An application, or Alembic in one of its
requests, means its own when it calls them; the server would have no word any more for what goes wrong. All else is as
it says: a configuration that names our loggers, and whoever sets ``disabled``.
"""

from __future__ import annotations

import logging
import logging.config
import sys
from typing import Any


class _Kept:
    """Beside the logger's own class; its place in ``__dict__`` is where that one has the value."""

    @property
    def disabled(self) -> bool:
        return bool(self.__dict__["disabled"])

    @disabled.setter
    def disabled(self, value: Any) -> None:
        if value and sys._getframe(1).f_globals is logging.config.__dict__:
            return
        self.__dict__["disabled"] = bool(value)


def keep(logger: logging.Logger) -> None:
    """From now on, for the life of the process."""
    if not isinstance(logger, _Kept):
        theirs = type(logger)
        logger.__class__ = type(theirs.__name__, (_Kept, theirs), {})
