"""The rows, by theme: each file is a frozen dataclass whose fields are the rows, so types and table can't
disagree.

No row may know how it is used. Open ``processes.py`` first; then ``sockets.py``, ``requests.py``, ``proxies_tls.py``,
``logs.py``, ``supervision.py`` (how workers are watched and replaced) and ``hooks.py``. ``whole.py`` puts the parts
together, ``elsewhere.py`` holds the names of other servers, ``without_effect.py`` those that mean nothing here.
"""
