"""Which loggers an operator configured: ``[loggers]`` of the ini, logconfig, logconfig_json, logconfig_dict.

The runners read ``[loggers]`` before they load the application, but nobody has done so in an exec'ed
template, nor under ``paster serve site.ini#section``. Doing it a second time would undo what the application
configured meanwhile; so it is done only where none of the handlers that the ini promises is there.
"""

from __future__ import annotations

import configparser
import contextlib
import json
import logging
import logging.config
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from paste_unicorn.ops.sink import LogsProblem
from paste_unicorn.settings.table.logs import LogSettings

_OF_LOGGING = re.compile(r"(loggers|handlers|formatters)\Z|(logger|handler|formatter)_")

_DEFAULTS: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    # What dictionaries written for this egg may refer to without defining it.
    "formatters": {
        "generic": {
            "format": "%(asctime)s [%(process)d] [%(levelname)s] %(message)s",
            "datefmt": "[%Y-%m-%d %H:%M:%S %z]",
            "class": "logging.Formatter",
        },
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "generic", "stream": "ext://sys.stdout"},
        "error_console": {
            "class": "logging.StreamHandler",
            "formatter": "generic",
            "stream": "ext://sys.stderr",
        },
    },
}


def configure(
    logs: LogSettings, ini_path: str | None, ini_has_loggers: bool, variables: Mapping[str, str]
) -> frozenset[str] | None:
    """Apply the configuration that is in force (logconfig_dict before _json before logconfig before the ini).

    Returns the names of the loggers that it names ("" is the root), or None where there is none. Raises
    `LogsProblem`.
    """
    if logs.logconfig_dict:
        return _apply_dict("logconfig_dict", logs.logconfig_dict)
    if logs.logconfig_json:
        try:
            with open(logs.logconfig_json, encoding="utf-8") as file:
                config = json.load(file)
        except (OSError, ValueError) as error:
            raise LogsProblem(f'logconfig_json: "{logs.logconfig_json}" can\'t be read ({_flat(error)})') from None
        if not isinstance(config, dict):
            raise LogsProblem(f'logconfig_json: "{logs.logconfig_json}" must hold a JSON object')
        return _apply_dict("logconfig_json", config)
    if logs.logconfig and not (ini_path and _is_same_file(logs.logconfig, ini_path)):
        parser = _read("logconfig", logs.logconfig, variables)
        _apply_file("logconfig", logs.logconfig, parser)
        return frozenset(_named(parser))
    if ini_has_loggers and ini_path:
        parser = _read("[loggers]", ini_path, variables)
        named = _named(parser)
        if not any(logging.getLogger(name).handlers for name, handlers in named.items() if handlers):
            _apply_file("[loggers]", ini_path, parser)
        return frozenset(named)
    return None


def has_loggers(ini_path: str | None) -> bool:
    """Whether the file configures the standard logging."""
    parser = configparser.RawConfigParser(strict=False)
    with contextlib.suppress(configparser.Error, OSError, UnicodeError):
        parser.read([ini_path] if ini_path else [])
    return parser.has_section("loggers")


def wording(logs: LogSettings, ini_path: str | None) -> str:
    """All that the files say of loggers: another text where somebody has changed it."""
    parser = configparser.RawConfigParser(strict=False)
    with contextlib.suppress(configparser.Error, OSError, UnicodeError):
        parser.read([ini_path] if ini_path else [])
    said = [str(dict(parser[name])) for name in parser.sections() if _OF_LOGGING.match(name)]
    for path in filter(None, (logs.logconfig, logs.logconfig_json)):
        with contextlib.suppress(OSError, UnicodeError), open(path, encoding="utf-8") as file:
            said.append(file.read())
    return "\n".join(said)


def undo(named: Iterable[str]) -> None:
    """Take the handlers of these loggers off again, before another configuration is applied."""
    for name in named:
        logger = logging.getLogger(name or None)
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
            handler.close()
        logger.setLevel(logging.NOTSET if name else logging.WARNING)
        logger.propagate = True


def _is_same_file(path: str, other: str) -> bool:
    try:
        return os.path.samefile(path, other)
    except OSError:
        return False


def _read(setting: str, path: str, variables: Mapping[str, str]) -> configparser.ConfigParser:
    where = os.path.abspath(path)
    safe = {name: value.replace("%", "%%") for name, value in variables.items()}
    parser = configparser.ConfigParser({**safe, "__file__": where, "here": os.path.dirname(where)})
    try:
        with open(path, encoding="utf-8") as file:
            parser.read_file(file)
        if not parser.has_section("loggers"):
            raise LogsProblem(f'{setting}: "{path}" has no section [loggers]')
    except (OSError, UnicodeError, configparser.Error) as error:
        raise LogsProblem(f'{setting}: "{path}" can\'t be read ({_flat(error)})') from None
    return parser


def _named(parser: configparser.ConfigParser) -> dict[str, bool]:
    """Logger name ("" is the root) → has it handlers."""
    named: dict[str, bool] = {}
    for key in (key.strip() for key in parser.get("loggers", "keys", fallback="").split(",")):
        section = f"logger_{key}"
        name = "" if key == "root" else parser.get(section, "qualname", fallback=key)
        named[name] = bool(parser.get(section, "handlers", fallback="").strip())
    return named


def _apply_file(setting: str, path: str, parser: configparser.ConfigParser) -> None:
    try:
        logging.config.fileConfig(parser, disable_existing_loggers=False)
    except Exception as error:  # it evaluates class names and arguments: anything may come out of it
        raise LogsProblem(f'{setting}: "{path}" is not a logging configuration ({_why(error)})') from None


def _apply_dict(setting: str, given: Mapping[str, Any]) -> frozenset[str]:
    config: dict[str, Any] = {"version": 1, "disable_existing_loggers": False, **given}
    for part, defaults in _DEFAULTS.items():
        config[part] = {**defaults, **config.get(part, {})}
    try:
        logging.config.dictConfig(config)
    except Exception as error:  # as above
        raise LogsProblem(f"{setting}: not a logging configuration ({_why(error)})") from None
    return frozenset({*given.get("loggers", {}), *([""] if "root" in given else [])})


def _why(error: Exception) -> str:
    """The innermost reason: ``dictConfig`` says "Unable to configure handler 'x'" and hides why in the
    cause.
    """
    said = f"{type(error).__name__}: {_flat(error)}"
    return f"{said}: {_flat(error.__cause__)}" if error.__cause__ is not None else said


def _flat(error: BaseException) -> str:
    """On one line: those of configparser take several."""
    return " ".join(str(error).split())
