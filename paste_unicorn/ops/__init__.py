"""What operators read: the error log, the access log, the tracebacks of a process that hangs.

Nothing here may know a socket of a client, a parser or a worker class; it is given facts (``Served``) and
settings, and no line that it writes, nor one that it can't, may ever hurt a request. Open ``logs.py`` first:
it says where the lines of both loggers go. ``access_log.py`` is the line of one request, ``sink.py`` and
``syslog.py`` are the two places that take bytes.
"""
