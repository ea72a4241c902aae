"""What operators read: the error log, the access log, the tracebacks of a process that hangs.

Nothing here may know a socket of a client, a parser or a worker class; it is given facts (``Served``) and
settings, and no line that it writes, nor one that it can't, may ever hurt a request. Open ``logs.py`` first:
it says where the lines of both loggers go. ``access_log.py`` is the line of one request, ``sink.py`` and
``syslog.py`` are the two places that take bytes, ``patience.py`` says how long that may take.

Of the error log: ``configured.py`` which loggers an operator configured, ``kept.py`` what the application's own
configuration leaves of ours, ``handlers.py`` where the handlers of others
lead, ``stand_ins.py`` their streams in the arbiter, ``outputs.py`` our own handlers, that end in a sink,
``capture.py`` prints of the application led into the log. Of the access log: ``access_format.py`` a format to a
function that makes the line, ``access_atoms.py`` what each letter of it means, ``escaping.py`` a client's text made
safe in a line. Of processes: ``backtraces.py`` tracebacks of all threads, ``cgroups.py`` where the files of our
control group are, ``systemd.py`` what a service manager is told.
"""
