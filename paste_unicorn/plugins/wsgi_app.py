"""``egg:gunicorn#wsgi``: any WSGI callable as a Paste application.

    [app:main]
    use = egg:gunicorn#wsgi
    application = mysite.wsgi:application

``module`` alone means ``module:application``; ``module:create_app()`` calls a factory without arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from paste_unicorn.plugins.dotted import (
    ApplicationProblem,
    add_folder_of_ini,
    attribute,
    import_module,
    refuse_unknown,
)

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def make_app(global_conf: Mapping[str, str], application: str = "", **local_conf: str) -> Application:
    """The application that an ini section names (a ``paste.app_factory``).

    Raises `ApplicationProblem`; exceptions of the module itself pass unchanged.
    """
    refuse_unknown("wsgi", "application", local_conf)
    text = application.strip()
    if not text:
        raise ApplicationProblem("application: is missing; name a WSGI callable, such as mysite.wsgi:application")
    add_folder_of_ini(global_conf)
    name, _, path = text.partition(":")
    path = path.strip() or "application"
    is_factory = path.endswith("()")
    found = attribute(
        "application", text, import_module("application", name.strip(), global_conf), path.removesuffix("()")
    )
    if not callable(found):
        raise ApplicationProblem(f'application: "{text}" is a {type(found).__name__}, which can\'t be called')
    if not is_factory:
        return found
    made = found()
    if not callable(made):
        raise ApplicationProblem(
            f'application: "{text}" made a {type(made).__name__}, which can\'t be called; is it a factory?'
        )
    app: Application = made
    return app
