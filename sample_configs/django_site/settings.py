"""Settings of the tiny project: no database, sessions in a signed cookie."""

import os

SECRET_KEY = os.environ.get("SECRET_KEY", "only-for-the-example")
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]
ROOT_URLCONF = "django_site.urls"
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
USE_TZ = True

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
]

TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]
