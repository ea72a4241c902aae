"""Names that an ini file may use beside ``egg:gunicorn#main``: application factories for Paste.

They turn words of an ini section into a WSGI callable and know nothing of the server: the applications that
they make run under any other one as well. Open ``wsgi_app.py`` first, it is the simplest.
"""
