"""A world in memory for the arbiter's decision function: a kernel, templates, workers, an operator and a clock, all of
them from a seed, whole histories of them, and what must hold after every step.

Open first: `history.py` (a history from its first step to its last), then `world.py` and `processes.py` (who lives
there), `operator.py` (what befalls them), `invariants.py` (what must hold), `faults.py` (what it must notice).
Nothing here has a real process, socket, signal or clock.
"""
