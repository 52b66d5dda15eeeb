"""The contract of an adapter as checks that run on anybody's."""

from __future__ import annotations

from promptkit.testing.contract import CONTRACT, Case, check_adapter

__all__ = ["CONTRACT", "Case", "check_adapter"]
