"""Ways to move bytes between clients and the application; every class uses the same `http/` and `wsgi/`.

Never known here: who supervises, what a generation is, why a worker is told to go. Open `sync.py` for the loop and
`exchange.py` for the one straight line from a request to its answer.
"""
