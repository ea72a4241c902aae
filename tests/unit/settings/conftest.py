"""An ini file as text, read the way Paste reads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
from paste.deploy.loadwsgi import SERVER, loadcontext

from paste_unicorn.settings.resolve import Resolved, Source, resolve

Read = Callable[..., Resolved]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, which is also the ini's."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def read(folder: Path) -> Read:
    """`read("workers = 2")`: the settings of a `[server:main]` with these lines, which begin at line 3."""

    def read(lines: str, environ: dict[str, str] | None = None, name: str = "main") -> Resolved:
        text = dedent(lines).strip("\n")
        if "[server:" not in text:
            text = f"[server:main]\nuse = egg:gunicorn#main\n{text}"
        ini = folder / "prod.ini"
        ini.write_text(text + "\n", encoding="utf-8")
        context = loadcontext(SERVER, f"config:{ini}", name)
        return resolve(context.local_conf, Source(str(ini), f"server:{name}"), environ or {})

    return read
