"""PEP 3333: a request becomes a call of the application, its answer becomes bytes for a sink.

Never known here: sockets, event loops, processes, log files. What moves bytes is given as a *source* (of a request's
body) and a *sink* (for an answer). Open `gateway.py` first; `environ.py` and `input.py` are what an
application is given, `file_wrapper.py` a file that it returns, `mistakes.py` what is said where it breaks a rule.
"""
