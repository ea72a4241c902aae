"""Whether a server would start with an ini, and serve as it says: without starting one.

What is found is a table for people, and an exit code for scripts. Nothing that serves may be known here, nothing of the
application is loaded, and what was tried leaves no trace. Open ``checking.py`` first; ``command.py`` and
``__main__.py`` are two of its faces, and the runner is the third, for ``check_config``. ``holders.py`` says who has an
address that is taken.
"""
