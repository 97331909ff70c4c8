"""Damage below the surface: what a file holds is changed, and lengths and checksums around it are
made right again.

Damaged bytes alone are mostly refused by a checksum, so that what lies behind it would hardly be
attacked.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import struct
import zipfile
from contextlib import suppress
from typing import Any

import numpy as np
from hostile import changed_json
from mutations import EXTREMES, mutated


def damaged(name: str, content: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """Return content with damage: of its bytes, or, for half of the formats that have an inside,
    there.
    """
    inside = _INSIDE.get("." + name.rpartition(".")[2])
    if inside is not None and rng.random() < 0.6:
        return inside(content, rng, others)
    return mutated(content, rng, others)


def _hostile(text: str, rng: random.Random) -> str:
    return changed_json(text, np.random.default_rng(rng.getrandbits(32)))


def _header(content: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """Change a value of a safetensors file's header, or one within the JSON texts of its
    metadata.
    """
    length = struct.unpack("<Q", content[:8])[0]
    header = content[8 : 8 + length].decode()
    tree = json.loads(header)
    texts = [name for name, value in tree.get("__metadata__", {}).items() if value[:1] in "{["]
    if texts and rng.random() < 0.6:
        name = rng.choice(texts)
        tree["__metadata__"][name] = _hostile(tree["__metadata__"][name], rng)
        header = json.dumps(tree)
    else:
        header = _hostile(header, rng)
    return struct.pack("<Q", len(header.encode())) + header.encode() + content[8 + length :]


def _members(content: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """Damage, drop or double a member of a torch file, its checksum being right."""
    file = io.BytesIO()
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return mutated(content, rng, others)
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(file, "w") as written:
        names = archive.namelist()
        pickles = [name for name in names if name.endswith("data.pkl")]
        chosen = rng.choice(pickles if pickles and rng.random() < 0.7 else names)
        for name in names:
            data = archive.read(name)
            if name == chosen:
                if rng.random() < 0.05:
                    continue
                data = mutated(data, rng, [data])
            with suppress(UserWarning):
                written.writestr(
                    name, data, zipfile.ZIP_DEFLATED if rng.random() < 0.01 else zipfile.ZIP_STORED
                )
    return file.getvalue()


def _graph(content: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """Change a value of an ONNX file's description, sizes or attributes of its graph, or how nodes
    are joined.
    """
    import onnx

    model: Any = onnx.ModelProto.FromString(content)
    for _ in range(rng.randint(1, 3)):
        kind = rng.randrange(6)
        nodes, tensors = model.graph.node, model.graph.initializer
        if kind == 0 and model.metadata_props:
            entry = rng.choice(model.metadata_props)
            with suppress(
                ValueError, IndexError, TypeError, RecursionError
            ):  # it has been changed before
                entry.value = _hostile(entry.value, rng)
        elif kind == 1 and (tensor := rng.choice(tensors)).dims:
            tensor.dims[rng.randrange(len(tensor.dims))] = _number(rng)
        elif kind == 2 and (
            sizes := [one for one in tensors if one.data_type == onnx.TensorProto.INT64]
        ):
            numbers = [_number(rng) for _ in range(rng.randint(1, 4))]
            rng.choice(sizes).raw_data = b"".join(struct.pack("<q", number) for number in numbers)
        elif kind == 3 and (chosen := rng.choice(nodes)).attribute:
            _change(rng.choice(chosen.attribute), rng)
        elif kind == 4:
            rng.choice(nodes).op_type = rng.choice(nodes).op_type
        elif (chosen := rng.choice(nodes)).input:
            args = rng.choice([*rng.choice(nodes).output, *rng.choice(nodes).input, ""])
            chosen.input[rng.randrange(len(chosen.input))] = args
    return model.SerializeToString()


def _change(attribute: Any, rng: random.Random) -> None:
    if attribute.ints:
        attribute.ints[rng.randrange(len(attribute.ints))] = _number(rng)
    elif attribute.floats:
        attribute.floats[0] = rng.choice((0.0, -1.0, 1e38, float("nan")))
    else:
        attribute.i = _number(rng)
        attribute.f = rng.choice((0.0, -1.0, 1e38, float("nan")))


def _number(rng: random.Random) -> int:
    number = rng.choice((*EXTREMES, 2, 3, 7, 64, 100_000, -1, -2))
    return number if number < 2**63 else number - 2**64


def _packed(content: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    return gzip.compress(
        mutated(gzip.decompress(content), rng, [gzip.decompress(content)]), 1, mtime=0
    )


def _json(content: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    return _hostile(content.decode("utf-8-sig"), rng).encode("utf-8", "surrogatepass")


def _yaml(content: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """Change a value; or let it be repeated without end by names for parts."""
    import yaml

    if rng.random() < 0.1:
        lines = ["a0: &a0 [x, x]"]
        lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
        return "\n".join(lines).encode()
    return _hostile(json.dumps(yaml.safe_load(content)), rng).encode("utf-8", "surrogatepass")


def _body(content: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """Change a value of a request's JSON, or damage its body alone."""
    head, end, body = content.partition(b"\r\n\r\n")
    if body[:1] == b"{":
        return head + end + _hostile(body.decode(), rng).encode("utf-8", "surrogatepass")
    return head + end + mutated(body, rng, [body])


def _json_lines(content: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    lines = content.decode("utf-8-sig").splitlines()
    index = rng.randrange(len(lines))
    with suppress(ValueError):  # this one is damaged
        lines[index] = _hostile(lines[index], rng)
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _table(content: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """Change bytes of a table of a font, its directory being right."""
    count = struct.unpack(">H", content[4:6])[0]
    entry = 12 + 16 * rng.randrange(count)
    offset, length = struct.unpack(">II", content[entry + 8 : entry + 16])
    table = bytearray(content[offset : offset + length])
    for _ in range(rng.randint(1, 8)):
        size = rng.choice((1, 2, 4))
        at = rng.randrange(max(1, min(len(table), rng.choice((64, 1 << 20)))))
        number = rng.choice((*EXTREMES, rng.getrandbits(32))) & (256**size - 1)
        table[at : at + size] = number.to_bytes(size, "big")
    return content[:offset] + bytes(table[:length]) + content[offset + length :]


_INSIDE = {
    ".safetensors": _header,
    ".ckpt": _members,
    ".pt": _members,
    ".onnx": _graph,
    ".gz": _packed,
    ".tgz": _packed,
    ".json": _json,
    ".jsonl": _json_lines,
    ".yaml": _yaml,
    ".http": _body,
    ".ttf": _table,
}
"""How to change what is inside, by suffix."""
