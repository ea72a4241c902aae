"""``egg:gunicorn#django``: a Django project as a Paste application.

    [app:main]
    use = egg:gunicorn#django
    settings = mysite.settings

The project's WSGI_APPLICATION is honoured, as ``manage.py runserver`` does it, so that middleware around the
project is the same in both.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from paste_unicorn.plugins.dotted import ApplicationProblem, add_folder_of_ini, import_module, refuse_unknown
from paste_unicorn.plugins.wsgi_app import Application


def make_app(global_conf: Mapping[str, str], settings: str = "", **local_conf: str) -> Application:
    """The application of the project whose settings module an ini section names (a ``paste.app_factory``).

    The ini wins over DJANGO_SETTINGS_MODULE of the environment. Raises `ApplicationProblem`.
    """
    refuse_unknown("django", "settings", local_conf)
    name = settings.strip()
    if not name:
        raise ApplicationProblem(
            "settings: is missing; name the settings module of the project, such as mysite.settings"
        )
    try:
        from django.core.servers.basehttp import get_internal_wsgi_application
    except ModuleNotFoundError as error:
        if error.name != "django":
            raise
        raise ApplicationProblem("settings: Django is not installed here; pip install Django") from None
    add_folder_of_ini(global_conf)
    os.environ["DJANGO_SETTINGS_MODULE"] = name
    import_module("settings", name, global_conf)
    application: Application = get_internal_wsgi_application()
    return application
