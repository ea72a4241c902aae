"""How the application is put together: ``routing.py`` names the pages, ``middleware.py`` the layers."""
