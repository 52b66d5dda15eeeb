from __future__ import annotations

import subprocess
import sys

import pytest

from promptkit import backends


def test_torch_is_loaded_only_for_local_models() -> None:
    code = "import sys, promptkit.backends as b; b.ScriptedBackend(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_names() -> None:
    assert set(backends.__all__) == {"Backend", "CachedBackend", "LocalBackend", "RemoteBackend", "ScriptedBackend"}
    assert all(getattr(backends, name).__module__.startswith("promptkit.backends.") for name in backends.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        backends.Nothing  # noqa: B018
