"""The rules, by occasion: pure functions from what the arbiter knows and what happened to what it knows then,
and does.

No clock, no process, no socket: `now` is given, in monotonic seconds. Open `replace.py` first.
"""
