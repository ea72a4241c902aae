"""``egg:gunicorn#wsgi``: which words name an application, and what is said of those that don't."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from paste_unicorn.plugins.dotted import ApplicationProblem
from paste_unicorn.plugins.wsgi_app import make_app

MODULE = """
def application(environ, start_response):
    start_response("200 OK", [])
    return [b"application"]

def create_app():
    def made(environ, start_response):
        start_response("200 OK", [])
        return [b"made"]
    return made

class Site:
    app = staticmethod(application)

class Holder:
    site = Site

number = 3
"""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[str]:
    """A folder with an ini file's neighbours: ``unicorn_site`` and modules that can't be imported."""
    (tmp_path / "unicorn_site").mkdir()
    (tmp_path / "unicorn_site" / "__init__.py").write_text("")
    (tmp_path / "unicorn_site" / "wsgi.py").write_text(MODULE)
    (tmp_path / "unicorn_site" / "broken.py").write_text("import unicorn_missing_module\n")
    before = list(sys.path)
    yield str(tmp_path)
    sys.path[:] = before
    for name in [name for name in sys.modules if name.startswith("unicorn_site")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("unicorn_site.wsgi:application", b"application"),
        ("unicorn_site.wsgi", b"application"),
        (" unicorn_site.wsgi : application ", b"application"),
        ("unicorn_site.wsgi:create_app()", b"made"),
        ("unicorn_site.wsgi:Holder.site.app", b"application"),
    ],
)
def test_words_that_name_an_application(text: str, body: bytes, here: str) -> None:
    application = make_app({"here": here}, application=text)
    assert list(application({}, lambda status, fields: None)) == [body]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "application: is missing"),
        ("unicorn_site.wsgi:aplication", 'there is no "aplication" in it; did you mean "application"?'),
        ("unicorn_site.wsgi:zzz", 'there is no "zzz" in it'),
        ("unicorn_site.wsgi:number", '"unicorn_site.wsgi:number" is a int, which can\'t be called'),
        ("unicorn_nowhere:app", 'application: there is no module "unicorn_nowhere"'),
        ("unicorn_site.nowhere:app", 'application: there is no module "unicorn_site.nowhere"'),
        ("not a module:app", '"not a module" is not the name of a module'),
        ("/srv/site.py:app", '"/srv/site.py" is not the name of a module'),
    ],
)
def test_words_that_name_none_are_said(text: str, says: str, here: str) -> None:
    with pytest.raises(ApplicationProblem) as caught:
        make_app({"here": here}, application=text)
    assert says in str(caught.value)


def test_a_factory_that_makes_nothing_callable_is_said(here: str) -> None:
    Path(here, "unicorn_site", "factory.py").write_text("def create():\n    return 3\n")
    with pytest.raises(ApplicationProblem, match="made a int, which can't be called"):
        make_app({"here": here}, application="unicorn_site.factory:create()")


def test_a_module_that_misses_an_import_of_its_own_says_that(here: str) -> None:
    with pytest.raises(ModuleNotFoundError, match="unicorn_missing_module"):
        make_app({"here": here}, application="unicorn_site.broken:app")


def test_a_key_that_is_not_known_is_said_with_the_nearest(here: str) -> None:
    with pytest.raises(ApplicationProblem, match=r'aplication: .* did you mean "application"'):
        make_app({"here": here}, aplication="unicorn_site.wsgi")
    with pytest.raises(ApplicationProblem, match=r"workers: .* server settings go to \[server:main\]"):
        make_app({"here": here}, application="unicorn_site.wsgi", workers="2")


def test_the_folder_of_the_ini_is_importable_once(here: str) -> None:
    for _ in range(2):
        make_app({"here": here}, application="unicorn_site.wsgi")
    assert sys.path.count(here) == 1
