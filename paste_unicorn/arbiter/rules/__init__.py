"""The rules, by occasion: pure functions from what the arbiter knows and what happened to what it knows then,
and does.

No clock, no process, no socket: `now` is given, in monotonic seconds. Open `replace.py` first: who has gone. In
the order of a server's life: `boot.py` from a template's start to its last ready worker, `reload.py` a HUP,
`resize.py` more workers or fewer, `overdue.py` what should have happened by now, `stuck.py` the same for a worker,
`upgrade.py` USR2, `stop.py` the end, `deserted.py` an end while no worker is there; `files.py`
is logs and what a reloader watches. `balance.py` follows each of them.
"""
