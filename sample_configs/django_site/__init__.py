"""A tiny Django project: one page, one form."""
