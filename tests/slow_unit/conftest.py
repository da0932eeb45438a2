"""Random cases may take their time: on a busy machine the first of them is slow for no fault of its own."""

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
