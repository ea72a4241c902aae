"""The rows, by theme: each file is a frozen dataclass whose fields are the rows, so types and table can't
disagree.

No row may know how it is used. Open ``processes.py`` first; ``whole.py`` puts the parts together,
``elsewhere.py`` holds the names of other servers.
"""
