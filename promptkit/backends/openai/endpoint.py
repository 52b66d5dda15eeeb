"""Where a model server is and what opens it: checks of its address, and a key that shows nowhere."""

from __future__ import annotations

import ipaddress
import math
import os
import re
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from promptkit.errors import SettingError, error_message

__all__ = ["Key", "check_base_url", "check_numbers", "is_loopback"]

_OF = "RemoteBackend"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER_SAFE = re.compile(r"[\x21-\x7e]+")


def check_base_url(url: str) -> str:
    """Checks the address of a server, which must hold no secret and nothing behind the path.

    Args:
        url: For example ``"http://localhost:8000/v1"``.

    Returns:
        The address without a slash at its end.

    Raises:
        SettingError: It is no such address. The message never shows it whole, as it may hold a password.

    Example:
        >>> check_base_url("http://localhost:8000/v1/")
        'http://localhost:8000/v1'
    """

    def refuse(expected: str, hint: str = "") -> SettingError:
        return SettingError(f"{_OF}: base_url must {expected}" + (f"; {hint}" if hint else ""))

    example = "give for example 'http://localhost:8000/v1'"
    whole: object = url
    if not isinstance(whole, str) or not whole or re.search(r"[\s\x00-\x1f\x7f\\]", whole):
        raise refuse("be an address without spaces", example)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise refuse("be an address with a valid host and port", example) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise refuse("start with http:// or https:// and name a host", example)
    if parts.username is not None or parts.password is not None:
        raise refuse("hold no user name or password", "name an environment variable with the key in api_key_env")
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        raise refuse("end with its path", "leave out what follows ? or #")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    place = host if port is None else f"{host}:{port}"
    return f"{parts.scheme}://{place}{parts.path.rstrip('/')}"


def is_loopback(url: str) -> bool:
    """Tells whether an address is on this very machine, which no proxy leads to."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_numbers(seconds: Mapping[str, object], counts: Mapping[str, tuple[object, int]]) -> None:
    """Checks settings that are numbers.

    Args:
        seconds: Numbers of seconds, which must be above 0.
        counts: Whole numbers, each with its least.

    Raises:
        SettingError: One is out of range.
    """
    for name, value in seconds.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
            raise SettingError(error_message(name, of=_OF, expected="a number of seconds above 0", got=value))
    for name, (value, least) in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise SettingError(error_message(name, of=_OF, expected=f"an integer of at least {least}", got=value))


class Key:
    """An API key that is read when it is needed, and never shown.

    Args:
        source: The name of an environment variable, a function that returns the key, or ``None`` for no key.

    Raises:
        SettingError: The variable has no value, or ``source`` cannot be a name. Neither message shows a key that was
            given in place of the name.
    """

    def __init__(self, source: str | Callable[[], str] | None) -> None:
        if isinstance(source, str) and not _VARIABLE.fullmatch(source):
            raise SettingError(
                f"{_OF}: api_key_env must be the name of an environment variable, not the key itself; "
                "put the key into a variable and give its name, for example 'OPENAI_API_KEY'"
            )
        self._source = source
        self.value()

    def __repr__(self) -> str:
        """Says where the key comes from."""
        return f"Key({self.origin})"

    @property
    def origin(self) -> str:
        """Where the key comes from, in words."""
        if self._source is None:
            return "none was given"
        if not isinstance(self._source, str):
            return "a function"
        # A key that was given in place of the name may look like one, but is no variable that is set.
        return f"variable {self._source}" if self._source in os.environ else "the variable of api_key_env, not set"

    def value(self) -> str | None:
        """Reads the key."""
        if self._source is None:
            return None
        found = os.environ.get(self._source, "") if isinstance(self._source, str) else self._source()
        if not isinstance(found, str) or not _HEADER_SAFE.fullmatch(found.strip()):
            raise SettingError(
                f"{_OF}: the API key ({self.origin}) must be a text of visible ASCII characters; "
                "set it, or leave out api_key_env for a server without keys"
            )
        return found.strip()

    def headers(self) -> dict[str, str]:
        """The headers that carry the key."""
        key = self.value()
        return {} if key is None else {"authorization": f"Bearer {key}"}

    def hide(self, text: str) -> str:
        """Takes the key out of a text that came from the server."""
        key = self.value()
        return text.replace(key, "[key]") if key else text
