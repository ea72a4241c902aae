"""A pre-fork WSGI server that Paste's runners start from an `.ini` file: `use = egg:gunicorn#main`.

Which file to open first for what:

* what an ini may say            `settings/table/`
* how a start begins             `runner.py`, then `arbiter/arbiter.py`
* what happens on a signal       `arbiter/decide.py`, the table; `arbiter/rules/`
* how generations take over     `arbiter/rules/balance.py`
* how the application is loaded  `template/loading.py`, `template/forking.py`
* a request, top to bottom       `workers/sync.py`, `workers/exchange.py`
* what is a request, a refusal   `http/parser.py`, `http/refusals.py`
* PEP 3333                       `wsgi/environ.py`, `wsgi/gateway.py`
* what a worker is doing         `scoreboard/board.py`
* logs                           `ops/logs.py`, `ops/access_log.py`
"""

__version__ = "2026.11.0"
