"""The arbiter knows, decides, acts: three different files. It serves no request.

`http/`, `wsgi/` and `workers/` must never be known here: to the arbiter the application is only a thing to
hand to a template. Sockets, processes, clocks and signals are touched in `arbiter.py` and `signals.py`, and by
`perform.py` and those that it calls; `decide.py`, `rules/` and what they know (`state.py`, `events.py`,
`actions.py`, `given.py`) are pure. Open `decide.py` first: the table of what happens when; then
`rules/balance.py`, which follows each rule.

Beside the files of a signal: `pidfile.py` writes and removes the pid file, `reference.py` prints the table as
`docs/signals.md`.
"""
