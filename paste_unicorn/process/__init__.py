"""How our processes talk, live and end: arbiter, template and worker all need it.

Nothing here may know HTTP, WSGI, a log's layout or what the arbiter decides; a logger is given where one is
needed. Open `messages.py` first: it is the whole vocabulary between the processes.
"""
