"""Bytes to requests, answers to bytes: HTTP/1.1 and 1.0 by RFC 9110 and 9112, without a socket.

Never known here: sockets, clocks, workers, processes, log files, settings; limits and dates are given as
plain values. Open `request.py` first (what a request is), then `parser.py` (how bytes become one);
`refusals.py` lists every way to say no. `docs/requests.md` has each rule with its RFC section and its place.

Below the parser: `grammar.py` has the rules that llhttp leaves to us, `head_cache.py` the memory of what was judged
before. `body.py` finds the bytes of a body, and its end.
"""
