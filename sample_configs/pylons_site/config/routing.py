"""Which URL goes to which action of which controller."""

import pkgutil

from routes import Mapper

from pylons_site import controllers


def make_map() -> Mapper:
    """The map of the site."""
    mapper = Mapper(controller_scan=None)
    mapper.connect("home", "/", controller="guests", action="index")
    mapper.connect("/{controller}/{action}")
    # What "{controller}" may be: without this list it would match nothing.
    mapper.create_regs([module.name for module in pkgutil.iter_modules(controllers.__path__)])
    return mapper
