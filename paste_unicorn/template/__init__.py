"""The process that holds the application and forks workers from it; it serves no request and decides nothing.

The arbiter must never be known here: a template takes orders from its channel and reports. Open `forking.py`
first; `starting.py` is how the arbiter gets one.
"""
