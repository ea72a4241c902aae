"""The arbiter knows, decides, acts: three different files. It serves no request.

`http/`, `wsgi/` and `workers/` must never be known here: to the arbiter the application is only a thing to
hand to a template. Sockets, processes, clocks and signals are touched in `perform.py`, `listeners.py`,
`signals.py`, `pidfile.py` and `arbiter.py` alone; all else is pure. Open `decide.py` first: the table of what
happens when.
"""
