"""What the tests share: a real server under a real runner, applications to serve, a client made of raw bytes.

`server.py` starts and ends servers (open it first), `client.py` speaks to them byte by byte and judges what
comes back, `apps.py` is what they serve, `processes.py` finds what belongs to them. Nothing here imports
`paste_unicorn`: the server is looked at from outside.
"""
