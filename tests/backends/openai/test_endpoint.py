from __future__ import annotations

import pytest

from promptkit.backends.openai.endpoint import Key, check_base_url, is_loopback
from promptkit.errors import SettingError

SECRET = "sk-canary-0123456789"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("http://localhost:8000/v1", "http://localhost:8000/v1"),
        ("https://api.example.com/v1/", "https://api.example.com/v1"),
        ("HTTP://Example.com", "http://example.com"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        ("http://10.0.0.7:8000/a/b//", "http://10.0.0.7:8000/a/b"),
    ],
)
def test_addresses(given: str, kept: str) -> None:
    assert check_base_url(given) == kept


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("", "be an address"),
        (None, "be an address"),
        (8000, "be an address"),
        ("localhost:8000/v1", "start with http"),
        ("ftp://host/v1", "start with http"),
        ("file:///etc/passwd", "start with http"),
        ("http:///v1", "name a host"),
        ("http://host:99999/v1", "valid host and port"),
        ("http://host:port/v1", "valid host and port"),
        ("http://[::1/v1", "valid host and port"),
        ("http://host /v1", "without spaces"),
        ("http://host\r\nx: y/v1", "without spaces"),
        ("http://host\\v1", "without spaces"),
        (f"http://user:{SECRET}@host/v1", "no user name or password"),
        (f"http://{SECRET}@host/v1", "no user name or password"),
        (f"http://host/v1?key={SECRET}", "end with its path"),
        (f"http://host/v1#{SECRET}", "end with its path"),
        ("http://host/v1?", "end with its path"),
    ],
)
def test_what_is_no_address_is_refused_without_showing_it(given: object, reason: str) -> None:
    with pytest.raises(SettingError, match=reason) as caught:
        check_base_url(given)  # type: ignore[arg-type]
    assert SECRET not in str(caught.value)


def test_loopback() -> None:
    assert all(is_loopback(f"http://{host}/v1") for host in ("localhost", "127.0.0.1:80", "127.3.2.1", "[::1]:9"))
    assert not any(is_loopback(f"http://{host}/v1") for host in ("10.0.0.1", "example.com", "localhost.example.com"))


def test_a_key_comes_from_a_variable_or_a_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY_KEY", SECRET)
    for key in (Key("CANARY_KEY"), Key(lambda: SECRET)):
        assert key.headers() == {"authorization": f"Bearer {SECRET}"}
        assert SECRET not in repr(key)
        assert key.hide(f"the key {SECRET} is wrong") == "the key [key] is wrong"
    assert (Key(None).headers(), Key(None).hide("as it is")) == ({}, "as it is")


def test_a_key_is_read_anew_for_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY_KEY", "first")
    key = Key("CANARY_KEY")
    monkeypatch.setenv("CANARY_KEY", "second")
    assert key.value() == "second"


@pytest.mark.parametrize("given", [SECRET, "gsk_0123456789abcdef", "ABCDEF0123456789", "", "A B"])
def test_a_key_given_in_place_of_a_name_is_not_shown(given: str) -> None:
    with pytest.raises(SettingError) as caught:
        Key(given)
    assert not given or given not in str(caught.value)


@pytest.mark.parametrize("value", ["", "   ", "two words", "line\nbreak", "schlüssel", "a\x00b"])
def test_a_key_that_no_header_can_carry_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    with pytest.raises(SettingError, match="visible ASCII") as caught:
        Key(lambda: value)
    assert not value.strip() or value not in str(caught.value)
