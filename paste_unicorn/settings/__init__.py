"""Ini text to one frozen value, or to all that is wrong with it.

Nothing here opens a socket, reads a clock, logs or starts anything: what a start needs is a value, what a
mistake needs is a sentence. Open ``table/processes.py`` first (a setting is one row there), then
``resolve.py``.

In reading order. A row: ``row.py`` what it is, ``kinds.py`` text to value; the other kinds are ``lists.py`` (several
values), ``words.py`` (words of HTTP and syslog), ``places.py`` (paths, users, processors: ``cpus.py`` counts them),
``addresses.py`` (listeners), ``syslog.py`` (its daemon), ``peers.py`` (whom to believe), ``hooks.py`` (functions),
``warmup.py`` (its requests), ``worker_class.py`` (names of classes). What was said: ``given.py`` puts names to rows,
``inifile.py`` finds a setting's line, ``configfile.py`` runs the file of `config`, ``listening.py`` has Paste's `host`
and `port`, ``surroundings.py`` what a relative path may mean. What comes of it: ``checks.py`` finds contradictions,
``problems.py`` makes a mistake a line, ``needs.py`` says what is needed of the kernel, ``cfg.py`` is what hooks see as
`cfg`. Printed: ``report.py`` for `print_config`, ``reference.py`` and ``manual.py`` for `docs/`.
"""
