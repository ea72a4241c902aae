"""Ini text to one frozen value, or to all that is wrong with it.

Nothing here opens a socket, reads a clock, logs or starts anything: what a start needs is a value, what a
mistake needs is a sentence. Open ``table/processes.py`` first (a setting is one row there), then
``resolve.py``.
"""
