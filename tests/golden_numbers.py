"""Recorded numbers of the reference implementation and the weights they belong to."""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

FOLDER = Path(__file__).parent / "golden"


def recorded(name: str) -> dict[str, Any]:
    """A JSON file of the folder."""
    content: dict[str, Any] = json.loads((FOLDER / name).read_text("utf-8"))
    return content


def recorded_arrays(name: str) -> dict[str, Any]:
    """The arrays of an .npz file of the folder."""
    with np.load(FOLDER / name) as arrays:
        return dict(arrays)


def weight(name: str, shape: tuple[int, ...]) -> Tensor:
    """The recorded weights: uniform noise seeded by the name, scaled by the kind of parameter."""
    noise = np.random.RandomState(zlib.crc32(name.encode())).uniform(
        -1, 1, int(np.prod(shape, dtype=int))
    )
    values = noise.astype(np.float32).reshape(shape)
    kind = name.rpartition(".")[2]
    if kind == "running_mean":
        values = 0.1 * values
    elif kind == "running_var":
        values = 1 + 0.1 * np.abs(values)
    elif len(shape) <= 1:
        values = 1 + 0.1 * values if kind == "weight" else 0.1 * values
    elif "embed" in name or "pos_queries" in name or kind in ("cls_token", "pos_embed"):
        values = 0.5 * values
    else:
        values = values * np.sqrt(3.0 / np.prod(shape[1:], dtype=int)).astype(np.float32)
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def fill(network: nn.Module) -> None:
    """Give a network the recorded weights."""
    state = network.state_dict()
    network.load_state_dict(
        {name: weight(name, tuple(tensor.shape)) for name, tensor in state.items()}
    )


def images(count: int, height: int, width: int) -> Tensor:
    """The recorded images, (count, 3, height, width) in [-1, 1]."""
    generator = np.random.RandomState(zlib.crc32(b"images"))
    return torch.from_numpy(generator.uniform(-1, 1, (count, 3, height, width)).astype(np.float32))
