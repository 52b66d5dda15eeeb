from __future__ import annotations

import json
import random

import pytest
from safetensors import SafetensorError, deserialize

from promptkit.artifacts import check_safetensors
from promptkit.errors import ArtifactError


def pack(header: object, body: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + body


def entry(dtype: object = "F32", shape: object = (2,), offsets: object = (0, 8)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


GOOD = {
    "__metadata__": {"format": "pt"},
    "a": entry("F32", [2, 3], [0, 24]),
    "b.weight": entry("BF16", [4], [24, 32]),
    "empty": entry("I64", [0, 7], [32, 32]),
    "scalar": entry("U8", [], [32, 33]),
}
BODY = bytes(range(33))


def test_a_good_file_gives_types_and_shapes():
    assert check_safetensors(pack(GOOD, BODY)) == {
        "a": ("F32", (2, 3)),
        "b.weight": ("BF16", (4,)),
        "empty": ("I64", (0, 7)),
        "scalar": ("U8", ()),
    }
    assert check_safetensors(pack(b"{}")) == {}
    assert check_safetensors(pack(json.dumps(GOOD).encode() + b"   ", BODY))  # writers pad with spaces


def test_what_the_library_writes_is_accepted():
    torch = pytest.importorskip("torch")
    from safetensors.torch import save

    tensors = {"x": torch.ones(3, 2), "y": torch.zeros(4, dtype=torch.bfloat16), "z": torch.tensor(True)}
    assert check_safetensors(save(tensors, metadata={"a": "b"})) == {
        "x": ("F32", (3, 2)),
        "y": ("BF16", (4,)),
        "z": ("BOOL", ()),
    }


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "header must be 2 to 1,000,000 bytes long and inside the file of 0 bytes"),
        (b"\x02\0\0\0\0\0\0", "header must be"),
        (pack(b"{}", length=1), "got 1"),
        (pack(b"{}", length=3), "inside the file of 10 bytes, got 3"),
        (pack(b"{}", length=2**63), "got 9223372036854775808"),
        (pack(b"{" + b" " * 1_000_000 + b"}"), "got 1000002"),
        (pack(b"[]"), "must be a JSON object"),
        (pack(b" {}"), "must be a JSON object"),
        (pack(b"{'a'"), "the header is not JSON"),
        (pack(b'{"\xff": 1}'), "must be UTF-8"),
        (pack(b'{"a":' * 400 + b"1" + b"}" * 400), "levels of nesting"),
        (pack(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "levels of nesting"),
        (pack(b'{"a":1,"a":1}'), "the key 'a' appears twice"),
        (pack(b'{"a":{"dtype":"U8","dtype":"U8","shape":[],"data_offsets":[0,1]}}', b"1"), "'dtype' appears twice"),
        (pack({"__metadata__": {"a": 1}}), "must map texts to texts"),
        (pack({"__metadata__": []}), "must map texts to texts"),
        (pack({"a": None}), "its entry must be dtype, shape and data_offsets"),
        (pack({"a": {**entry(), "more": 1}}, bytes(8)), "its entry must be"),
        (pack({"a": entry(dtype="F31")}, bytes(8)), "dtype must be one of 'BOOL'"),
        (pack({"a": entry(dtype=["F32"])}, bytes(8)), "dtype must be one of"),
        (pack({"a": entry(shape=[2.0])}, bytes(8)), "shape must be a list"),
        (pack({"a": entry(shape=[True, 2])}, bytes(8)), "shape must be a list"),
        (pack({"a": entry(shape=[-1, -2])}, bytes(8)), "shape must be a list"),
        (pack({"a": entry(shape="2")}, bytes(8)), "shape must be a list"),
        (pack({"a": entry(shape=[1] * 9)}, bytes(4)), "at most 8 whole numbers"),
        (pack({"a": entry(shape=[2**62, 2**62])}, bytes(8)), "data_offsets must be .* bytes apart"),
        (pack({"a": entry(shape=[2**64])}, bytes(8)), "shape must be a list"),
        (pack({"a": entry(offsets=[0])}, bytes(8)), "two whole numbers"),
        (pack({"a": entry(offsets=[8, 0])}, bytes(8)), "8 bytes apart"),
        (pack({"a": entry(offsets=[-8, 0])}, bytes(8)), "two whole numbers"),
        (pack({"a": entry(offsets=[0, 4])}, bytes(4)), "8 bytes apart, got \\[0, 4\\]"),
        (pack({"a": entry(offsets=[1, 9])}, bytes(9)), "starting at 0, got 1"),
        (pack({"a": entry(), "b": entry()}, bytes(8)), "starting at 8, got 0"),
        (
            pack({"a": entry(), "b": entry(offsets=[9, 17])}, bytes(17)),
            "tensor 'b': data_offsets must be starting at 8",
        ),
        (pack({"a": entry()}, bytes(9)), "the data must be 8 bytes long, got 9"),
        (pack({"a": entry()}, bytes(7)), "the data must be 8 bytes long, got 7"),
        (pack({}, b"PK\x03\x04"), "the data must be 0 bytes long, got 4"),
    ],
)
def test_every_contradiction_is_named(data, message):
    with pytest.raises(ArtifactError, match="^w: .*" + message):
        check_safetensors(data, "w")


@pytest.mark.parametrize("count", [2_000, pytest.param(200_000, marks=pytest.mark.slow)])
def test_mutated_files_are_refused_or_are_what_the_library_reads_too(count):
    """The library is the oracle: we may refuse more than it does, never less."""
    rng = random.Random(count)
    good = pack(GOOD, BODY)
    accepted = 0
    for _ in range(count):
        data = bytearray(good)
        for _ in range(rng.choice([1, 1, 2, 4])):
            place = rng.randrange(len(data) - len(BODY))
            how = rng.randrange(4)
            if how == 0:
                data[place] = rng.randrange(256)
            elif how == 1:
                data[place] ^= 1 << rng.randrange(8)
            elif how == 2:
                del data[place : place + rng.randint(1, 4)]
            else:
                data[place:place] = rng.choice([b"0", b"9", b"[", b'"', b",", b"{", b"\0", b" ", b"-"])
        if rng.random() < 0.5:  # half of them with a length that fits again
            text = bytes(data[8 : len(data) - len(BODY)])
            data = bytearray(pack(text, bytes(data[len(data) - len(BODY) :])))
        try:
            tensors = check_safetensors(bytes(data))
        except ArtifactError:
            continue
        accepted += 1
        try:
            theirs = {name: (found["dtype"], tuple(found["shape"])) for name, found in deserialize(bytes(data))}
        except SafetensorError as error:
            pytest.fail(f"accepted what the library refuses: {bytes(data)!r}: {error}")
        assert theirs == tensors
    assert 0 < accepted < count / 2
