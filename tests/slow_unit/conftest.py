"""No random case has a deadline, for on a busy machine the first of them is slow."""

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
