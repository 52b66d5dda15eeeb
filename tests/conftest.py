"""Settings of all tests."""

from __future__ import annotations

from hypothesis import settings

# How long an example takes says something about the machine, nothing about the code.
settings.register_profile("promptkit", deadline=None)
settings.load_profile("promptkit")
