"""Average the weights of several models, such as a fine-tuned one and the one it began with.

Fine-tuned weights and those they began with often read better together than either alone (Wortsman
et al. 2022, "Robust Fine-Tuning of Zero-Shot Models"). All models must have the same parameters and
charset; everything else in the file is taken from the first one. The fractions are normalized to a
sum of 1.

example:
  strhub-model average averaged.safetensors 0.7:outputs/small/last 0.3:ppocrv6-small.safetensors
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from strhub.cli.program import program
from strhub.errors import ConfigError
from strhub.utils.progress import working

if TYPE_CHECKING:
    from strhub.checkpoint.scene_text_model import SceneTextModel

Part = tuple[float, str]


def part(text: str) -> Part:
    """Read `fraction:model`."""
    fraction, _, model = text.partition(":")
    try:
        value = float(fraction)
    except ValueError:
        value = math.nan
    if not model or not math.isfinite(value) or value <= 0:
        raise argparse.ArgumentTypeError(
            f"{text} is not such as 0.7:last.ckpt, with a fraction over 0"
        )
    return value, model


def averaged(parts: Sequence[Part]) -> SceneTextModel:
    """Return the first model with the mean of all weights; `ConfigError` if they do not fit."""
    import torch

    from strhub.checkpoint.zoo import load_from_checkpoint, locate

    total = sum(fraction for fraction, _ in parts)
    models = [
        (fraction / total, name, load_from_checkpoint(locate(name))) for fraction, name in parts
    ]
    first = models[0][2]
    weights = {
        name: torch.zeros_like(tensor, dtype=torch.float64)
        for name, tensor in first.state_dict().items()
    }
    for fraction, name, model in models:
        own = model.state_dict()
        shapes = {key: tuple(tensor.shape) for key, tensor in own.items()}
        same = shapes == {key: tuple(tensor.shape) for key, tensor in weights.items()}
        if not same or model.hparams.charset_train != first.hparams.charset_train:
            raise ConfigError(f"{name} has other parameters or another charset than {parts[0][1]}")
        for key, tensor in own.items():
            weights[key] += fraction * tensor.double()
    kept = first.state_dict()
    first.load_state_dict({key: tensor.to(kept[key].dtype) for key, tensor in weights.items()})
    return first


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of average."""
    parser.add_argument("out", type=Path, help=".safetensors file to write")
    parser.add_argument(
        "parts",
        nargs="+",
        type=part,
        metavar="FRACTION:MODEL",
        help="weights and ids or paths of the models, such as 0.7:last.ckpt",
    )
    parser.add_argument("--precision", choices=["float32", "float16"], default="float32")


def run(args: argparse.Namespace) -> None:
    """Write the mean. Raises `ConfigError` and `CheckpointError`."""
    if args.out.suffix != ".safetensors":
        raise ConfigError(f"{args.out}: weights are written to a .safetensors file")
    import torch

    from strhub.checkpoint.zoo import save_model

    with working(f"averaging {len(args.parts)} models"):
        model = averaged(args.parts)
    for name in ("temperature", "reread_correction", "calibration"):  # they were another one's
        model.hparams.pop(name, None)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_model(model, args.out, {}, getattr(torch, args.precision))
    size = args.out.stat().st_size / 2**20
    print(f"{args.out}: {size:.1f} MiB; calibrate it: {program('model')} calibrate {args.out}")
