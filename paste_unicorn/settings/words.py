"""Kinds whose values are words of HTTP or of syslog, and are checked as such."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .kinds import Choice, Kind, Switch, quoted
from .lists import Texts
from .surroundings import Surroundings

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)  # RFC 9110 §5.6.2
FACILITIES = (
    "auth", "authpriv", "cron", "daemon", "ftp", "kern", "lpr", "mail", "news", "security", "syslog", "user",
    "uucp",
    *(f"local{number}" for number in range(8)),
)  # fmt: skip


class HeaderMap(Choice):
    """What happens to field names with an underscore; the dangerous word is honoured, and not in silence."""

    def __init__(self) -> None:
        super().__init__("drop", "refuse", "dangerous")

    def parse(self, text: str, around: Surroundings) -> str:
        word = super().parse(text, around)
        if word == "dangerous":
            around.warn("dangerous lets any client set fields that look as if a proxy had set them; drop is safe")
        return word


class Facility(Choice):
    """A facility of syslog, with or without the prefix of C."""

    def __init__(self) -> None:
        super().__init__(*FACILITIES)

    def parse(self, text: str, around: Surroundings) -> str:
        return super().parse(text.lower().removeprefix("log_"), around)


class Prefix(Kind[str]):
    """A path at which an application is mounted: '' or '/name'."""

    what = "path"

    def parse(self, text: str, around: Surroundings) -> str:
        path = "/" + text.strip("/")
        if any(sign in text for sign in "?#\r\n\0"):
            raise ValueError(f"{quoted(text)} is not a path; give for example /shop")
        return "" if path == "/" else path


class FieldNames(Texts):
    """Names of header fields."""

    what = "list of field names"

    def parse(self, text: str, around: Surroundings) -> tuple[str, ...]:
        return self._checked(super().parse(text, around))

    def take(self, value: object, around: Surroundings) -> tuple[str, ...]:
        return self._checked(super().take(value, around))

    def _checked(self, names: Iterable[str]) -> tuple[str, ...]:
        for name in names:
            if not TOKEN.fullmatch(name):
                raise ValueError(f"{quoted(name)} is not the name of a header field")
        return tuple(name.upper() for name in names)


class Sendfile(Switch):
    """Whether sendfile is used, in the plain sense; elsewhere any value switched it off, so `true` needs a
    word.
    """

    def parse(self, text: str, around: Surroundings) -> bool:
        on = super().parse(text, around)
        if on:
            around.warn("true means true here; the other server of this egg name switches sendfile off for any value")
        return on


class Protocols(Texts):
    """Versions of HTTP; ours is 1.1, and a list without it asks for what we can't do."""

    def parse(self, text: str, around: Surroundings) -> tuple[str, ...]:
        names = tuple(name.lower() for name in super().parse(text, around))
        if "h1" not in names:
            raise ValueError(
                f"{quoted(text)} leaves out HTTP/1.1, which is all that is served here; let a proxy speak HTTP/2"
            )
        return names


class LoggerClass(Kind[str]):
    """The class that logs: only the names of the usual ones, which ours takes the place of."""

    usual = ("gunicorn.glogging.Logger", "gunicorn.instrument.statsd.Statsd", "simple", "egg:gunicorn#simple")

    def parse(self, text: str, around: Surroundings) -> str:
        if text not in self.usual:
            raise ValueError(
                f"{quoted(text)} can't be loaded here; configure the standard logging instead, by [loggers] "
                f"in the ini or logconfig"
            )
        return text

    def take(self, value: object, around: Surroundings) -> str:
        return self.parse(value if isinstance(value, str) else f"{getattr(value, '__qualname__', value)}", around)


class Anything(Kind[object]):
    """A value that nobody looks at."""

    what = "anything"

    def parse(self, text: str, around: Surroundings) -> object:
        return text

    def take(self, value: object, around: Surroundings) -> object:
        return value
