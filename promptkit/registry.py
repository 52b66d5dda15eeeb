"""The extension points: strategies, metrics, aggregators, stop rules, selectors and backends by name.

The pieces of promptkit and those of others are registered in the same way, by ``register``, and are then reachable by
name from Python, from YAML and from the command line. A piece comes from code that the program imports, from a single
file that the user names (``load_plugin``), or from an installed package with an entry point in the group ``promptkit``
that names a module. Saved folders and data never load code.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import inspect
import os
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Literal, TypeVar, get_args

from promptkit.errors import PromptkitError, SettingError, check_path, error_message, one_of

__all__ = ["GROUPS", "Group", "Registered", "find", "load_plugin", "name_of", "register", "registered_names"]

T = TypeVar("T", bound=Callable[..., Any])
Group = Literal["strategy", "metric", "aggregator", "stop_rule", "selector", "backend"]
GROUPS: tuple[Group, ...] = get_args(Group)
"""The kinds of pieces."""

ENTRY_POINTS = "promptkit"
"""The group of entry points by which an installed package offers its pieces."""
_OPTIONS = {"strategy": {"own_kind"}, "aggregator": {"logprobs", "once_per_path"}, "selector": {"per_query"}}
_RESERVED = {("stop_rule", "none"), ("selector", "searched")}


@dataclass(frozen=True, slots=True)
class Registered:
    """A piece under its name.

    Attributes:
        name: The name in settings.
        value: The class or function.
        options: What it was registered with beside its name.
    """

    name: str
    value: Any
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """The first line of the docstring, or ""."""
        return (inspect.getdoc(self.value) or "").partition("\n")[0]


_found: dict[str, dict[str, Registered]] = {group: {} for group in GROUPS}
_plugins: dict[str, ModuleType] = {}
_lock = threading.RLock()
_entry_points_loaded = False


def register(group: Group, name: str, **options: Any) -> Callable[[T], T]:
    """Makes a class or function reachable by name; use it as a decorator.

    Args:
        group: What it is:

            - ``strategy``: a class of settings made by ``promptkit.settings``, its first field ``task``, with ``fit``.
              Option ``own_kind``: the name under which settings files hold a field of the class called ``kind``.
            - ``metric``: a function of an answer and one accepted target, both texts, that gives a score in [0, 1].
            - ``aggregator``: a function of the readable samples of one question (``promptkit.ReadSample``) that gives
              a score for each answer. Option ``logprobs``: it needs log-probabilities, and a model without them is
              refused before it is asked. Option ``once_per_path``: samples that repeat a reasoning have no vote, so
              they do not count for stop rules either.
            - ``stop_rule``: a frozen dataclass with the methods of ``promptkit.parsing.StopRule``; its fields are
              stored with saved predictors.
            - ``selector``: a function ``(index, places, k, *, query, seed, labels)`` that gives k of the places (see
              ``promptkit.select``). Option ``per_query``: it chooses anew for every query.
            - ``backend``: a function ``(model, **settings)`` that gives a ``promptkit.Backend``.
        name: The name in settings: letters, digits, ``_`` and ``-``.
        options: As listed above.

    Returns:
        A decorator that returns what it is given.

    Raises:
        SettingError: The group or an option is unknown, or the name is of another form or taken by another piece.

    Example:
        >>> from promptkit.metrics import get_metric
        >>> @register("metric", "same_length")
        ... def same_length(answer, target):
        ...     return float(len(answer) == len(target))
        >>> get_metric("same_length").score("abc", ["xyz"])
        1.0
    """
    if group not in _found:
        raise SettingError(error_message("group", of="register", expected=one_of(GROUPS), got=group))
    if not isinstance(name, str) or not name.replace("-", "_").isidentifier() or (group, name) in _RESERVED:
        expected = "letters, digits, '_' and '-', and no reserved name"
        raise SettingError(error_message(f"name of a {group}", of="register", expected=expected, got=name))
    known = _OPTIONS.get(group, set())
    if unknown := sorted(set(options) - known):
        expected = one_of(sorted(known)) if known else "left out"
        raise SettingError(error_message(f"options of a {group}", of="register", expected=expected, got=unknown))

    def add(value: T) -> T:
        if not callable(value):
            raise SettingError(error_message(group, of="register", expected="a class or a function", got=value))
        with _lock:
            taken = _found[group].get(name)
            if taken is not None and taken.value is not value:
                home = f"{getattr(taken.value, '__module__', '')}.{getattr(taken.value, '__qualname__', name)}"
                raise SettingError(f"register: {group} {name!r} is taken by {home}; choose another name")
            _found[group][name] = Registered(name, value, dict(options))
        return value

    return add


def find(
    group: Group, name: object, *, of: str, which: str = "", also: tuple[str, ...] = (),
    error: type[PromptkitError] = SettingError,
) -> Registered:  # fmt: skip
    """Finds a piece by name; entry points are loaded if it is not known without them.

    Args:
        group: What it is.
        name: Its name.
        of: Whose setting names it, for messages.
        which: The name of that setting; by default the group's.
        also: Names that the setting takes beside those of the group, for messages.
        error: The kind of error.

    Returns:
        The piece.

    Raises:
        PromptkitError: No piece of the group has the name; the kind is ``error``.
    """
    if not (isinstance(name, str) and name in _found[group]):
        _load_entry_points()
    known = _found[group]
    if isinstance(name, str) and name in known:
        return known[name]
    names = [*also, *known]
    close = difflib.get_close_matches(name, names, n=1) if isinstance(name, str) else []
    hint = f"did you mean {close[0]!r}?" if close else "a name of your own needs its plugin to be loaded"
    raise error(error_message(which or group.replace("_", " "), of=of, expected=one_of(names), got=name, hint=hint))


def registered_names(group: Group) -> list[str]:
    """Lists the names of a group, those of entry points included.

    Pieces of promptkit are known once their module is imported.

    Args:
        group: What they are.

    Returns:
        The names, in the order of their registration.

    Example:
        >>> import promptkit.parsing
        >>> registered_names("stop_rule")
        ['beta', 'window']
    """
    _load_entry_points()
    return list(_found[group])


def name_of(group: Group, value: object) -> str | None:
    """Returns the name under which a class or function is registered.

    Args:
        group: What it is.
        value: The class or function itself.

    Returns:
        The name, or ``None``.
    """
    return next((name for name, piece in _found[group].items() if piece.value is value), None)


def load_plugin(path: str | os.PathLike[str]) -> ModuleType:
    """Runs a Python file that registers pieces.

    The file is run with the rights of the program, so load only what you would run. A file that was loaded is not run
    again.

    Args:
        path: The file.

    Returns:
        Its module.

    Raises:
        SettingError: There is no such file, or it fails; then none of its pieces is registered.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = pathlib.Path(folder, "lengths.py")
        ...     _ = file.write_text("LONG = 100")
        ...     load_plugin(file).LONG
        100
    """
    file = check_path(path, "path", of="load_plugin", expected="the path of a Python file").resolve()
    with _lock:
        if str(file) in _plugins:
            return _plugins[str(file)]
        # The digest tells apart files of one name; dataclasses look their module up in sys.modules.
        name = f"promptkit_plugin_{file.stem}_{hashlib.sha256(os.fsencode(file)).hexdigest()[:8]}"
        spec = importlib.util.spec_from_file_location(name, file)
        if spec is None or spec.loader is None or not file.is_file():
            raise SettingError(error_message("path", of="load_plugin", expected="a Python file", got=str(path)))
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        before = {group: dict(pieces) for group, pieces in _found.items()}
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[name]
            _restore(before, name)
            raise SettingError(f"plugin {file.name} cannot be loaded: {type(error).__name__}: {error}") from error
        _plugins[str(file)] = module
        return module


def _restore(before: Mapping[str, Mapping[str, Registered]], module: str) -> None:
    """Takes back what a module registered; what it imported stays imported and registered."""
    for group, pieces in _found.items():
        for name in [one for one in pieces if one not in before[group]]:
            if getattr(pieces[name].value, "__module__", "") == module:
                del pieces[name]


def _load_entry_points() -> None:
    """Imports, once, what installed packages offer; one that fails costs a warning, not the program."""
    global _entry_points_loaded
    with _lock:
        if _entry_points_loaded:
            return
        _entry_points_loaded = True
        from importlib.metadata import entry_points  # slow to import, and most names are found without it

        for point in entry_points(group=ENTRY_POINTS):
            try:
                point.load()
            except Exception as error:
                home = f" of {point.dist.name}" if point.dist else ""
                told = f"plugin {point.name!r}{home} cannot be loaded: {type(error).__name__}: {error}"
                warnings.warn(told, stacklevel=3)
