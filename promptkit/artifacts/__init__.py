"""One folder for everything that was fitted: saved whole or not at all, loaded strictly, never code.

The store knows files, hashes and JSON, and nothing of adapters. See ``promptkit.artifacts.store`` for the layout.
"""

from promptkit.artifacts.checks import parse_json
from promptkit.artifacts.store import Stored, kind_of, load_folder, save_folder
from promptkit.artifacts.tensors import check_safetensors

__all__ = ["Stored", "check_safetensors", "kind_of", "load_folder", "parse_json", "save_folder"]
