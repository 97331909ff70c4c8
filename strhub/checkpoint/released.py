"""The files that the reference has released: known by name, and by the hash that each name
holds. And those of CLIP4STR, which have no hash that could be checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from strhub.errors import CheckpointError

RELEASES = "https://github.com/baudm/parseq/releases/download/v1.0.0/"
# The last eight characters before the suffix begin the file's SHA-256.
RELEASED_FILES = {
    "parseq-tiny": "parseq_tiny-e7a21b54.pt",
    "parseq": "parseq-bb5792a6.pt",
    "parseq-patch16-224": "parseq_small_patch16_224-fcf06f5a.pt",
    "abinet": "abinet-1d1e373e.pt",
    "trba": "trba-cfaed284.pt",
    "vitstr": "vitstr-26d0fcf4.pt",
    "crnn": "crnn-679d0e31.pt",
}


class Clip4str(NamedTuple):
    """A released checkpoint: its address, how many numbers it has, and percent of words read right
    by test set, as its makers measured it.
    """

    address: str
    parameters: int
    accuracy: Mapping[str, float]


def _released(address: str, parameters: int, percents: tuple[float, ...]) -> Clip4str:
    sets = ("IIIT5k", "SVT", "IC13_1015", "IC15_1811", "IC15_2077", "SVTP", "CUTE80")
    return Clip4str(address, parameters, dict(zip(sets, percents, strict=True)))


# Towers of ViT-B/16, L/14 and H/14 with two decoders.
_BASE, _LARGE, _HUGE = 158_260_000, 446_860_000, 1_020_160_000
_GITHUB = "https://github.com/VamosC/CLIP4STR/releases/download/1.0.0/"
_HUB = "https://huggingface.co/mzhaoshuai/CLIP4STR/resolve/main/"
CLIP4STR = {
    "clip4str-b": _released(
        f"{_GITHUB}clip4str_base16x16_d70bde1f2d.ckpt",
        _BASE,
        (99.20, 98.30, 98.23, 91.44, 90.61, 96.90, 99.65),
    ),
    "clip4str-b-synth": _released(
        f"{_GITHUB}clip4str_base16x16_synth_a5e3386222.ckpt",
        _BASE,
        (97.70, 95.36, 96.06, 87.47, 84.02, 91.47, 94.44),
    ),
    "clip4str-b-datacomp": _released(
        f"{_HUB}clip4str_base_6e9fe947ac.pt", _BASE, (99.5, 98.3, 98.6, 91.4, 91.1, 98.0, 99.0)
    ),
    "clip4str-l-datacomp": _released(
        f"{_HUB}clip4str_large_3c9d881b88.pt", _LARGE, (99.6, 98.6, 99.0, 91.9, 91.4, 98.1, 99.7)
    ),
    "clip4str-h-laion2b": _released(
        f"{_HUB}clip4str_huge_5eef9f86e2.pt", _HUGE, (99.7, 98.6, 98.9, 91.6, 91.1, 98.5, 99.7)
    ),
    "clip4str-h-dfn5b": _released(
        f"{_HUB}clip4str_huge_3e942729b1.pt", _HUGE, (99.5, 99.1, 98.9, 91.7, 91.0, 98.0, 99.0)
    ),
}


def clip4str_file(name: str, cache: Path) -> Path:
    """Return where a released checkpoint lies: it is not fetched, and its name holds no hash that
    could be checked.

    Raises:
        CheckpointError: it is not there; from where it is to be put where is said.
    """
    address = CLIP4STR[name].address
    path = cache / address.rpartition("/")[2]
    if not path.is_file():
        raise CheckpointError(
            f"{name} is not downloaded automatically: put {address} at {path}, or name the file "
            "wherever it is"
        )
    return path
