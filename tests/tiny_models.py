"""Every architecture so small that a step of it takes milliseconds, with images and labels for
one.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from strhub.checkpoint.experiments import experiment_hyper_parameters
from strhub.images.padding import pad
from strhub.training.systems.base import System
from strhub.training.systems.registry import system_class

CHARSET = "abcdefghijklmnopqrstuvwxyz"
COLUMNS = {"num_fiducial": 4, "localization_channel": 16, "output_channel": 32, "hidden_size": 32}
ABINET = {
    "d_model": 32,
    "nhead": 2,
    "d_inner": 64,
    "v_num_layers": 1,
    "l_num_layers": 1,
    "iter_size": 2,
    "dropout": 0.0,
}
PARSEQ = {"embed_dim": 32, "enc_num_heads": 1, "dec_num_heads": 2, "enc_depth": 1, "dropout": 0.0}
# A PARSeq on CLIP's image tower, for options beside `charset_train` and the like.
CLIP_PARSEQ: dict[str, Any] = {
    "encoder": "clip",
    "enc_embed_dim": 64,
    "enc_depth": 2,
    "enc_num_heads": 1,
    "embed_dim": 32,
    "dec_num_heads": 2,
    "patch_size": [8, 8],
    "img_size": [32, 32],
    "normalize": "clip",
    "max_label_length": 8,
}
# By experiment: each architecture, and what of its options leads to other parts that learn.
SIZES: dict[str, dict[str, Any]] = {
    "vitstr": {"embed_dim": 32, "num_heads": 2, "depth": 1},
    "crnn": {"output_channel": 32, "hidden_size": 32},
    "trba": COLUMNS,
    "trbc": COLUMNS,
    "abinet": ABINET,
    "abinet-sv": ABINET,
    "tune_abinet-lm": ABINET,
    "parseq": {**PARSEQ, "patch_size": [8, 8]},
    "strhub-tiny": {**PARSEQ, "enc_stem": [8, 16]},
    "svtr-tiny": {
        "embed_dims": [16, 32, 64],
        "depths": [1, 1, 1],
        "num_heads": [1, 1, 2],
        "local_depth": 2,
        "mlp_ratio": 2,
    },
    "light_ctc": {"img_size": [48, 64]},
}
LABELS = ("hello", "word", "signs", "abba")


class Training(NamedTuple):
    """A way to train an architecture: its experiment, and whether ABINet's parts learn together."""

    experiment: str
    joint: bool = False

    def __str__(self) -> str:
        return f"{self.experiment}{'-joint' if self.joint else ''}"


TRAININGS = [
    *(Training(name) for name in SIZES),
    Training("abinet", joint=True),
    Training("abinet-sv", joint=True),
]


def tiny_system(training: Training, **options: Any) -> System:
    """Ready to train, with the same fresh weights each time, on images 32 high and 64 wide."""
    hparams = {
        **experiment_hyper_parameters(training.experiment),
        "charset_train": CHARSET,
        "charset_test": CHARSET,
        "normalize": "default",
        "max_label_length": 8,
        "img_size": [32, 64],
        **SIZES[training.experiment],
        **options,
    }
    torch.manual_seed(0)
    system = system_class(hparams["architecture"])(**hparams).train()
    if training.joint:
        system.joint = True  # type: ignore[assignment]
    return system


def inputs(training: Training, count: int = len(LABELS)) -> Tensor:
    """Clouds, since what samples an image at places that are learned finds no slope in noise.

    Of several widths for a model that takes them.
    """
    clouds = torch.randn(count, 3, 8, 16, generator=torch.Generator().manual_seed(0))
    height, width = SIZES[training.experiment].get("img_size", (32, 64))
    images = nn.functional.interpolate(clouds, (height, width), mode="bicubic")
    if training.experiment.startswith(("svtr", "light")):
        return pad([image[..., : (64, 48)[index % 2]] for index, image in enumerate(images)])
    return images


class TrainingLoss(nn.Module):
    """A system's loss as a `forward`, which is what several devices and compilers take."""

    def __init__(self, system: System) -> None:
        super().__init__()
        self.system = system

    def forward(self, images: Tensor, labels: Sequence[str]) -> Tensor:
        """The loss of a batch."""
        return self.system.training_loss(images, labels)
