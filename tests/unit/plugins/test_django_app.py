"""``egg:gunicorn#django``: a Django project by the name of its settings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from paste_unicorn.plugins.django_app import make_app
from paste_unicorn.plugins.dotted import ApplicationProblem

SETTINGS = """
SECRET_KEY = "test"
ROOT_URLCONF = "unicorn_project.urls"
ALLOWED_HOSTS = ["*"]
{more}
"""
URLS = """
from django.http import HttpResponse
from django.urls import path
urlpatterns = [path("hello", lambda request: HttpResponse("django says hello"))]
"""
WSGI = """
from django.core.wsgi import get_wsgi_application
inner = get_wsgi_application()
def application(environ, start_response):
    return [b"wrapped: ", *inner(environ, start_response)]
"""
# Django is configured once a process: each project in a process of its own.
RUN = """
import io, sys
from paste_unicorn.plugins.django_app import make_app
application = make_app({"here": sys.argv[1]}, settings="unicorn_project.settings")
environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/hello", "SERVER_NAME": "x", "SERVER_PORT": "80",
           "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO()}
print(b"".join(application(environ, lambda status, fields, exc_info=None: None)).decode())
"""


def project(folder: Path, more: str = "") -> None:
    package = folder / "unicorn_project"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "settings.py").write_text(SETTINGS.format(more=more))
    (package / "urls.py").write_text(URLS)
    (package / "wsgi.py").write_text(WSGI)


@pytest.mark.parametrize(
    ("more", "answer"),
    [
        ("", "django says hello"),
        ('WSGI_APPLICATION = "unicorn_project.wsgi.application"', "wrapped: django says hello"),
    ],
)
def test_project_answers_as_under_runserver(more: str, answer: str, tmp_path: Path) -> None:
    project(tmp_path, more)
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path)],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "of.the.environment"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == f"{answer}\n"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("", "settings: is missing"),
        ("unicorn_nowhere.settings", 'settings: there is no module "unicorn_nowhere"'),
        ("my site", '"my site" is not the name of a module'),
    ],
)
def test_settings_that_are_none_are_said(
    settings: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "before")
    with pytest.raises(ApplicationProblem) as caught:
        make_app({"here": str(tmp_path)}, settings=settings)
    assert says in str(caught.value)


def test_a_key_that_is_not_known_is_said() -> None:
    with pytest.raises(ApplicationProblem, match=r'setting: .* did you mean "settings"'):
        make_app({}, setting="mysite.settings")
