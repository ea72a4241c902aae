"""A Pylons application without Pylons: ``config`` puts the middleware together, ``controllers`` answer."""
