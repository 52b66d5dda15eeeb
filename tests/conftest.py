"""Settings of all tests."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

from promptkit import registry

# The models of the tests are tiny: threads cost them more than they give, and far more on a busy machine. Set before
# torch is imported; processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says something about the machine, nothing about the code.
settings.register_profile("promptkit", deadline=None)
settings.load_profile("promptkit")


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forgets at the end what a test registered and which files it loaded."""
    monkeypatch.setattr(registry, "_found", {group: dict(pieces) for group, pieces in registry._found.items()})
    monkeypatch.setattr(registry, "_plugins", dict(registry._plugins))
