"""Helpers for tests, also of code outside promptkit.

``contract`` holds the contract of an adapter as checks that run on anybody's; ``server`` a model server that answers
from a script over HTTP, and misbehaves on demand in the ways of ``faults``.
"""

from __future__ import annotations

from promptkit.testing.contract import CONTRACT, Case, check_adapter
from promptkit.testing.faults import FAULTS, STREAM_FAULTS
from promptkit.testing.server import ScriptedServer, Seen

__all__ = ["CONTRACT", "FAULTS", "STREAM_FAULTS", "Case", "ScriptedServer", "Seen", "check_adapter"]
