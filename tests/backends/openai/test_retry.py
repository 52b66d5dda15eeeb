from __future__ import annotations

from datetime import UTC, datetime

import pytest

from promptkit.backends.openai.retry import MAX_RETRY_AFTER, Retry, is_transient, retry_after

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("3", 3.0),
        (" 3 ", 3.0),
        ("2.5", 2.5),
        ("120", 120.0),
        ("121", MAX_RETRY_AFTER),
        ("86400", MAX_RETRY_AFTER),
        ("1e9", MAX_RETRY_AFTER),
        ("inf", MAX_RETRY_AFTER),
        ("9" * 60, MAX_RETRY_AFTER),
        ("Sun, 01 Mar 2026 12:00:07 GMT", 7.0),
        ("Sun, 01 Mar 2026 12:00:07", 7.0),
        ("Sun, 01 Mar 2026 14:00:07 +0200", 7.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("Sun, 01 Mar 2099 12:00:00 GMT", MAX_RETRY_AFTER),
        ("nan", None),
        ("-1", None),
        ("-inf", None),
        ("", None),
        ("soon", None),
        ("Sun, 99 Foo 2026 12:00:07 GMT", None),
        ("9" * 65, None),
        ("٣", None),
        ("1, 2", None),
    ],
)
def test_forms_of_the_header(text: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": text}, NOW) == seconds


def test_no_header_asks_for_nothing() -> None:
    assert retry_after({}) is None


@pytest.mark.parametrize("status", range(400, 600))
def test_only_what_may_pass_is_tried_again(status: int) -> None:
    assert is_transient(status) == (status in (408, 409, 425, 429) or (status >= 500 and status not in (501, 505)))


def test_lack_of_credit_does_not_pass() -> None:
    assert is_transient(429, "rate_limit_exceeded")
    assert not is_transient(429, "insufficient_quota")


def test_waits_grow_up_to_a_bound_and_differ() -> None:
    retry = Retry(times=8, first=0.5)
    for tried, most in enumerate((0.5, 1, 2, 4, 8, 8, 8), start=1):
        waits = {retry.wait(tried, None) for _ in range(50)}
        assert all(most / 2 <= wait <= most for wait in waits)
        assert len(waits) > 1
    assert Retry(10**6, 0.5).wait(10**6, None) <= 8


def test_what_the_server_asks_for_is_waited_in_full() -> None:
    assert all(7 <= Retry(4, 0.5).wait(tried, 7.0) <= 7.5 for tried in (1, 2, 9))
