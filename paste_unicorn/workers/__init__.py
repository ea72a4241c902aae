"""Ways to move bytes between clients and the application; every class uses the same `http/` and `wsgi/`.

Never known here: who supervises, what a generation is, why a worker is told to go. Open `sync.py` for the loop and
`exchange.py` for the one straight line from a request to its answer.

What the tour does not name: `collecting.py` how often a worker collects garbage, `own_thread.py` how a thread of the
server's own starts, `summaries.py` what hooks around a request see of it.
"""
