"""Which failed calls to a model server are made again, and after how long."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

__all__ = ["MAX_RETRY_AFTER", "Retry", "is_transient", "retry_after"]

MAX_RETRY_AFTER = 120.0
"""Seconds that a server may ask a client to wait; more is cut to this."""

_MAX_BACKOFF = 8.0
_TRANSIENT = frozenset({408, 409, 425, 429})  # timed out, in conflict, too early, too many
_PERMANENT = frozenset({501, 505})  # not implemented, HTTP version: no second try changes these
_NO_CREDIT = "insufficient_quota"


def is_transient(status: int, code: str = "") -> bool:
    """Tells whether a call that ended with a status may succeed when made again.

    Args:
        status: The HTTP status.
        code: The code of the error in the body, if it has one: a 429 for lack of credit does not pass by waiting.

    Returns:
        True for 408, 409, 425, 429 and all of 5xx but 501 and 505.

    Example:
        >>> [is_transient(status) for status in (429, 503, 400, 401, 404)]
        [True, True, False, False, False]
    """
    if code == _NO_CREDIT:
        return False
    return status in _TRANSIENT or (500 <= status <= 599 and status not in _PERMANENT)


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Reads how long a server asks to wait (RFC 9110, 10.2.3): seconds, or a date.

    Args:
        headers: Headers of the response, by lower-case name.
        now: The present time; for tests.

    Returns:
        Seconds from 0 to ``MAX_RETRY_AFTER``, or ``None`` where the header is missing or means nothing.

    Example:
        >>> [retry_after({"retry-after": text}) for text in ("2.5", "86400", "nan")]
        [2.5, 120.0, None]
    """
    text = headers.get("retry-after", "").strip()
    if not text or len(text) > 64 or not text.isascii():
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            date = parsedate_to_datetime(text)
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
        # A date without a zone is meant in UTC, as HTTP has no other.
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        seconds = max(0.0, (date - (now or datetime.now(UTC))).total_seconds())
    if math.isnan(seconds) or seconds < 0:
        return None
    return min(seconds, MAX_RETRY_AFTER)


@dataclass(frozen=True, slots=True)
class Retry:
    """How often to try, and how long to wait in between.

    Attributes:
        times: Tries after the first one.
        first: Seconds before the second try; doubled before every further one, up to 8, and then made shorter by a
            random part of up to half, so that many clients do not come back together.
    """

    times: int
    first: float

    def wait(self, tried: int, asked: float | None) -> float:
        """Returns the seconds to wait before the next try.

        Args:
            tried: Tries made, at least 1.
            asked: What the server asked for, if anything; it is waited for in full, and the random part comes on top.

        Returns:
            Seconds, at least 0.
        """
        backoff = min(_MAX_BACKOFF, self.first * 2.0 ** min(tried - 1, 30)) * random.uniform(0.5, 1.0)
        return backoff if asked is None else asked + min(backoff, self.first)
