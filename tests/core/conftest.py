"""Laws are tried with a handful of examples each, and without a deadline: the machines that run them are shared."""

from hypothesis import settings

settings.register_profile("core", deadline=None, max_examples=60)
settings.load_profile("core")
