"""How our processes talk, live and end: arbiter, template and worker all need it.

Nothing here may know HTTP, WSGI, a log's layout or what the arbiter decides; a logger is given where one is
needed. Open `messages.py` first: it is the whole vocabulary between the processes.

In the order of a process's life: `daemon.py` goes to the background, `fork.py` forks, and cleans up in what others
fork, `identity.py` gives a process its title, user and folder, `signal_stack.py` the room for signals that arrive
together; `listener.py` is a listening socket as all see it, `hooks.py` what hooks are given and how they are called;
`leave.py` is the one way out.
"""
