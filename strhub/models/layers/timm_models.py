"""Models of the package timm, by name."""

from __future__ import annotations

import difflib
import re
from importlib import import_module
from typing import Any

TIMM = "timm/"


def create(name: str, img_size: tuple[int, int], *, pretrained: bool = False) -> Any:
    """Return a backbone without a classifier; nothing is fetched unless it is to be pretrained."""
    timm = _timm()
    check_name(name)
    fixed = {"img_size": img_size} if timm.get_pretrained_cfg(name).fixed_input_size else {}
    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=0, **fixed)
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        if pretrained:
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"timm's {name} cannot be made for images of {list(img_size)}: {reason}"
        ) from error


def check_name(name: str) -> None:
    """Raise `ValueError` for what timm has no code of its own for: such as an address, which it
    would fetch.
    """
    timm = _timm()
    if (
        re.fullmatch(r"[\w.]+", name)
        and timm.is_model(name)
        and timm.get_pretrained_cfg(name) is not None
    ):
        return
    stem = name.partition(".")[0]
    nearest = difflib.get_close_matches(stem, timm.list_models(), n=1, cutoff=0.5)
    meant = f" Did you mean {TIMM}{nearest[0]}?" if nearest else ""
    raise ValueError(
        f"timm {timm.__version__} has no backbone {name!r}.{meant} "
        "timm.list_models() names them all"
    )


def _timm() -> Any:
    try:
        # What it downloads pretrained weights with has its telemetry off by then, by training.run.
        return import_module("timm")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{error.name} is not installed; an encoder {TIMM}… needs: pip install 'strhub[timm]'",
            name=error.name,
        ) from error
    except RuntimeError as error:  # a torchvision that belongs to another torch
        raise ModuleNotFoundError(
            f"timm cannot be imported ({error}): install the torchvision that belongs "
            "to your torch",
            name="torchvision",
        ) from error
