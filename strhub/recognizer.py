"""`Recognizer`: pictures of words to readings, in batches. What cannot be read comes back as such, in its place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from strhub.data.aspect import pad
from strhub.reading import Decoded, PictureArray, Reader, Reading
from strhub.scene_text_model import SceneTextModel
from strhub.zoo import EMBEDDED, load_from_checkpoint

__all__ = ["Reading", "Recognizer", "choose_device"]


class Recognizer(Reader):
    """Read words.

    model: an id (`strhub-tiny`), a checkpoint's path, or a loaded model. device: such as "cpu" or "cuda"; by default
    the fastest there is. batch_size: pictures at a time. turn_tall: read tall pictures on their sides too, as `Reader`
    says. options: of decoding, such as refine_iters=2.

    >>> readings = Recognizer("strhub-tiny")(["a.png", "b.jpg"])
    """

    def __init__(
        self,
        model: str | Path | SceneTextModel = EMBEDDED,
        *,
        device: str | torch.device | None = None,
        batch_size: int = 32,
        turn_tall: bool = True,
        **options: Any,
    ) -> None:
        if isinstance(model, SceneTextModel):
            model.set_decoding(**options)
        else:
            model = load_from_checkpoint(model, **options)
        self.device = choose_device(device)
        self.model = model.eval().to(self.device)
        super().__init__(
            img_size=model.hparams["img_size"],
            normalize=model.hparams["normalize"],
            keep_aspect=bool(model.hparams.get("keep_aspect")),
            batch_size=batch_size,
            turn_tall=turn_tall,
        )

    def _decode(self, arrays: Sequence[PictureArray]) -> Sequence[Decoded]:
        with torch.inference_mode():
            images = pad([torch.from_numpy(array) for array in arrays]).to(self.device)
            return self.model.read(images)


def choose_device(device: str | torch.device | None = None) -> torch.device:
    """The device asked for, or the fastest there is; `ValueError` if it is not there."""
    if device is None or str(device) == "auto":
        mps = torch.backends.mps.is_available()
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"the device {device!r} cannot be used here: {str(error).splitlines()[0]}") from error
    return chosen
