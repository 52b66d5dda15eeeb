from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load

from promptkit.artifacts import parse_json
from promptkit.artifacts.checks import MAX_JSON, check_bytes, check_file_name, check_no_paths
from promptkit.errors import ArtifactError


@pytest.mark.parametrize("name", ["plan.json", "direct.jinja", "demos.jsonl", "adapter_model.safetensors", "a-b.c.txt"])
def test_good_names(name):
    assert name.endswith(check_file_name(name, "art"))


@pytest.mark.parametrize(
    "name",
    ["optimizer.pt", "rng_state.pth", "training_args.bin", "x.pkl", "X.PKL", "a.pickle", "w.npy", "w.npz", "a.ckpt"],
)
def test_names_of_pickles(name):
    with pytest.raises(ArtifactError, match=r"^art: '.*' is of a format that can run code.*save weights as \.safeten"):
        check_file_name(name, "art")


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", ".json", "../a.json", "/a.json", "a/b.json", "a\\b.json", "a.json\n", "a\0.json", "A.json"),
        *("a.JSON", "a.py", "a.so", "a.json.exe", "a", "a.safetensors.bak", "é.json", "-a.json", "_a.json", "a b.json"),
        *("a" * 70 + ".json", "manifest.json", "a.json/", "%2e%2e.json", "a:b.json"),
    ],
)
def test_bad_names(name):
    with pytest.raises(ArtifactError, match=r"^art: the name of a file must be lower-case letters"):
        check_file_name(name, "art")


def test_strict_json():
    assert parse_json('{"a": [1, 2.5, null, true, "é"]}'.encode(), "x") == {"a": [1, 2.5, None, True, "é"]}
    assert parse_json(b"[" * 49 + b"1" + b"]" * 49, "x")
    for data, message in [
        (b'{"a": 1, "a": 2}', r"^x is not JSON as promptkit writes it: the key 'a' appears twice"),
        (b'{"a": {"b": 1, "b": 2}}', "the key 'b' appears twice"),
        (b"NaN", "a number must be finite, got NaN"),
        (b"[-Infinity]", "a number must be finite, got -Infinity"),
        (b"1e999", "a number must be finite, got 1e999"),
        (b'{"a": -0}', "a whole number must not be -0"),
        (b"9" * 5000, "is not JSON"),
        (b"{a: 1}", "is not JSON"),
        (b"", "is not JSON"),
        (b"[1] 2", "is not JSON"),
        (b"\xef\xbb\xbf{}", "is not JSON"),
        (b'"\xff"', "x must be UTF-8, got byte 0xff at 1"),
        (b"[" * 50 + b"1" + b"]" * 50, "at most 50 levels of nesting"),
        (b"[" * 500_000 + b"]" * 500_000, "at most 50 levels of nesting"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "at most 50 levels of nesting"),
        (b" " * (MAX_JSON + 1), "size must be at most 1,000,000 bytes, got 1000001"),
    ]:
        with pytest.raises(ArtifactError, match=message):
            parse_json(data, "x")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.json", b"[", "art: a.json is not JSON"),
        ("a.jsonl", b'{"a": 1}\n\n{"a": }\n', "art: a.jsonl: line 3 is not JSON"),
        ("a.txt", b"ab\xff", "art: a.txt must be UTF-8, got byte 0xff at 2"),
        ("a.jinja", b"x" * (MAX_JSON + 1), "art: a.jinja: size must be at most 1,000,000 bytes"),
        ("a.safetensors", b"12345678", "art: a.safetensors: the header must be"),
        ("a.md", b"PK\x03\x04rest", "art: a.md holds a pickle or an archive"),
        ("a.md", b"\x1f\x8brest", "art: a.md holds a pickle or an archive"),
    ],
)
def test_bytes_must_be_what_the_name_says(name, data, message):
    with pytest.raises(ArtifactError, match="^" + message):
        check_bytes(name, data, "art")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.json", b"{}"),
        ("a.jsonl", b'{"a": 1}\r\n\n[2]'),
        ("a.txt", "cats and dogs\nare\nhere. \U0001f600".encode()),
        ("a.txt", b"N."),  # parses as a pickle of None, which calls nothing
        ("a.jinja", b""),
        ("a.safetensors", b"\x02\0\0\0\0\0\0\0{}"),
    ],
)
def test_good_bytes(name, data):
    check_bytes(name, data, "art")


class Canary:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ["a.json", "a.jinja", "a.txt", "a.md", "a.jsonl", "a.safetensors"])
def test_a_pickle_under_any_name_is_refused_unopened(name, protocol, tmp_path):
    canary = tmp_path / "canary"
    data = pickle.dumps({"weights": [Canary(str(canary))]}, protocol=protocol)
    with pytest.raises(ArtifactError):
        check_bytes(name, data, "art")
    assert not canary.exists()
    pickle.loads(data)["weights"][0].close()  # the twin: the canary is alive
    assert canary.exists()


@pytest.mark.parametrize("text", ["/home/x", "C:\\Users\\x", "c:/x", "\\\\host\\share\\x"])
def test_absolute_paths_are_refused_wherever_they_stand(text):
    for value, where in [(text, "meta"), ({"a": [1, text]}, r"meta\.a\[1\]"), ({text: 1}, "meta: a key")]:
        with pytest.raises(ArtifactError, match=rf"^{where}: a text must be no absolute path"):
            check_no_paths(value, "meta")


def test_other_texts_are_no_absolute_paths():
    check_no_paths({"a": ["models/x", "a/b", "http://x/y", "1/2", "", "C", "c:x", "/"], "b": 1, "c": None}, "meta")


def framed(length: int) -> bytes:
    """A valid safetensors file whose header has exactly so many bytes."""
    header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, separators=(",", ":")).encode()
    return length.to_bytes(8, "little") + header.ljust(length) + bytes(4)


@pytest.mark.parametrize("length", [640, 896, 1152, 1408, 0x8B1F, 0x020280, 0x05FF80, 0x040280, 100_000])
def test_safetensors_whose_length_reads_as_a_pickle_are_taken(length):
    data = framed(length)
    assert list(load(data)) == ["a"]
    check_bytes("w.safetensors", data, "art")
    with pytest.raises(Exception):  # noqa: B017 - the twin: no version of pickle reads it
        pickle.loads(data)


@given(st.integers(min_value=60, max_value=20_000))
def test_safetensors_of_any_length_are_taken(length):
    check_bytes("w.safetensors", framed(length), "art")


@pytest.mark.parametrize(
    "data",
    [
        *(pickle.dumps({"weights": b"x" * 2000}, protocol=protocol) for protocol in (2, 3, 4, 5)),
        b"\x80\x02" + framed(640)[2:8] + b"(" + framed(640)[9:],  # no header after the length
        b"\x80\x02}q\x00." + framed(640)[6:],  # a pickle inside the length
        b"PK\x03\x04" + framed(640)[4:],
        b"\x1f\x8b\x08\x00" + framed(640)[4:],
        b"\x93NUMPY" + framed(640)[6:],
    ],
)
def test_what_has_no_frame_is_still_called_a_pickle(data):
    with pytest.raises(ArtifactError, match=r"holds a pickle or an archive|header|JSON"):
        check_bytes("w.safetensors", data, "art")


def test_a_frame_is_asked_for_under_the_ending_of_safetensors_only():
    for name in ("a.txt", "a.md", "a.jinja", "a.json", "a.jsonl"):
        with pytest.raises(ArtifactError, match="holds a pickle or an archive"):
            check_bytes(name, framed(640), "art")


def test_data_behind_a_valid_frame_is_refused():
    with pytest.raises(ArtifactError, match="the data must be 4 bytes long"):
        check_bytes("w.safetensors", framed(640) + pickle.dumps({"a": 1}), "art")
