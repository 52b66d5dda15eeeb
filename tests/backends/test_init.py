from __future__ import annotations

import subprocess
import sys

import pytest

from promptkit import backends
from promptkit.errors import BackendError
from promptkit.registry import find


def test_torch_is_loaded_only_for_local_models() -> None:
    code = "import sys, promptkit.backends as b; b.ScriptedBackend(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_names() -> None:
    assert set(backends.__all__) == {"Backend", "CachedBackend", "LocalBackend", "RemoteBackend", "ScriptedBackend"}
    assert all(getattr(backends, name).__module__.startswith("promptkit.backends.") for name in backends.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        backends.Nothing  # noqa: B018


def test_the_registered_names_open_a_server_and_a_model_on_this_machine() -> None:
    remote = find("backend", "openai", of="test").value("some-model", base_url="http://localhost:9/v1", seeds=False)
    assert isinstance(remote, backends.RemoteBackend) and remote.name == "some-model"
    with pytest.raises(BackendError, match="no/such/folder"):
        find("backend", "local", of="test").value("no/such/folder", dtype="float32")
