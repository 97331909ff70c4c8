"""Small CLIPs in the files that CLIPs come in."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from golden_numbers import recorded, weight
from safetensors.torch import save_file
from torch import Tensor, nn

ROOT = Path(__file__).parent.parent
BYTES = 514  # token ids of a text tower that reads single bytes


def recorded_state() -> dict[str, Tensor]:
    """The recorded CLIP's weights, in OpenAI's naming."""
    shapes = recorded("clip-tiny.json")["state_dict"]
    return {name: weight(name, tuple(shape)) for name, shape in shapes.items()}


def small_state(vocab_size: int = BYTES, image_resolution: int = 32) -> dict[str, Tensor]:
    """The same with fewer text tokens, or other positions."""
    shapes = {
        name: tuple(shape) for name, shape in recorded("clip-tiny.json")["state_dict"].items()
    }
    shapes["token_embedding.weight"] = (vocab_size, 64)
    shapes["visual.positional_embedding"] = (1 + (image_resolution // 8) ** 2, 64)
    return {name: weight(name, shape) for name, shape in shapes.items()}


def small_clip(folder: Path, **options: Any) -> Path:
    """A file with `small_state`, as open_clip writes them."""
    path = folder / "clip.safetensors"
    save_file(small_state(**options), path)
    return path


class Holder(nn.Module):
    """A module with a state dictionary's names and no use."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        for name in sorted({name.partition(".")[0] for name in state}):
            inner = {
                key.partition(".")[2]: value
                for key, value in state.items()
                if key.partition(".")[0] == name
            }
            if "" in inner:
                self.register_parameter(name, nn.Parameter(inner[""]))
            else:
                self.add_module(name, Holder(inner))

    def forward(self, images: Tensor) -> Tensor:
        return images


def as_torchscript(state: dict[str, Tensor], path: Path) -> None:
    """Write what OpenAI's files are: a TorchScript archive, in half precision."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # TorchScript is deprecated; the published files stay what they are
        torch.jit.script(Holder({name: tensor.half() for name, tensor in state.items()})).save(
            str(path)
        )


def run_program(*arguments: str | Path) -> str:
    """What a command prints; its errors, if it fails."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
