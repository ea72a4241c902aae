"""Names that an ini file may use beside ``egg:gunicorn#main``: factories of applications and filters for Paste.

They turn words of an ini section into a WSGI callable and know nothing of the server but what it puts into the environ:
what they make runs under any other one as well. Open ``wsgi_app.py`` first, it is the simplest.

``django_app.py`` is the same for a Django project; both find what the ini names by ``dotted.py``.
"""
