"""Settings of all tests."""

from __future__ import annotations

import os

from hypothesis import settings

# The models of the tests are tiny: threads cost them more than they give, and far more on a busy machine. Set before
# torch is imported; processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says something about the machine, nothing about the code.
settings.register_profile("promptkit", deadline=None)
settings.load_profile("promptkit")
