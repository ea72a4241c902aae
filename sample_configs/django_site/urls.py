"""The pages of the tiny project."""

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template import engines
from django.urls import path

PAGE = """<!doctype html>
<title>Guests</title>
<h1>Guests</h1>
<ul>{% for guest in guests %}<li>{{ guest }}</li>{% empty %}<li>nobody yet</li>{% endfor %}</ul>
<form method="post">{% csrf_token %}<input name="guest" autofocus> <button>Sign</button></form>
"""


def guests(request: HttpRequest) -> HttpResponse:
    """Who signed in this session; a POST signs."""
    names = request.session.get("guests", [])
    if request.method == "POST":
        request.session["guests"] = [*names, request.POST["guest"]][-10:]
        return HttpResponseRedirect("/")
    return HttpResponse(engines["django"].from_string(PAGE).render({"guests": names}, request))


urlpatterns = [path("", guests)]
