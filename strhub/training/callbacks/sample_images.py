"""Images of the validation set with what a model reads in them, in the log: progress that one can
look at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
from PIL import Image, ImageDraw
from pytorch_lightning.callbacks import Callback

from strhub.images.options import image_options
from strhub.images.preprocess import NORMALIZATIONS
from strhub.training.batch import Batch

__all__ = ["ReadingSamples", "Sample", "sheet"]

WIDTH, CAPTION, COLUMNS = (
    200,
    16,
    4,
)  # pixels of an image, of the line below it; images side by side


class Sample(NamedTuple):
    """An image and what was read in it."""

    image: Image.Image
    label: str
    text: str
    confidence: float


class ReadingSamples(Callback):
    """Log the first `count` words of every validation to TensorBoard, W&B or MLflow, if one of them
    logs.
    """

    def __init__(self, *, count: int = 16) -> None:
        if count < 1:
            raise ValueError(
                f"samples: count is {count}: it must be at least 1, or set callbacks.samples=null"
            )
        self.count = count
        self._samples: list[Sample] = []

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the first words of the first device."""
        images, labels = batch[0], batch[1]
        if (
            len(self._samples) >= self.count
            or not trainer.is_global_zero
            or not outputs
            or images.ndim != 4
        ):
            return
        canvases = to_images(
            images.float().cpu().numpy(), image_options(pl_module.hparams)["normalize"]
        )
        for image, label, (text, confidence, _) in zip(
            canvases, labels, outputs["readings"], strict=True
        ):
            if len(self._samples) < self.count:
                self._samples.append(Sample(image, label, text, float(confidence)))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log them."""
        samples, self._samples = self._samples, []
        if samples and not trainer.sanity_checking:
            for logger in trainer.loggers:
                _log(logger, samples, trainer.global_step)


def to_images(images: np.ndarray[Any, Any], normalize: str) -> list[Image.Image]:
    """Turn normalized arrays (B, 3, H, W) into images; padding, which is not a number, becomes
    black.
    """
    mean, deviation = (np.asarray(values).reshape(-1, 1, 1) for values in NORMALIZATIONS[normalize])
    values = np.clip(np.nan_to_num((images * deviation + mean) * 255), 0, 255).astype(np.uint8)
    return [Image.fromarray(np.ascontiguousarray(value.transpose(1, 2, 0))) for value in values]


def sheet(samples: Sequence[Sample]) -> Image.Image:
    """Return all samples in one image, with what was read below each, in red where it is not the
    label.
    """
    height = max(round(one.image.height * WIDTH / one.image.width) for one in samples)
    rows = -(-len(samples) // COLUMNS)
    page = Image.new(
        "RGB", (WIDTH * min(COLUMNS, len(samples)), (height + CAPTION) * rows), "white"
    )
    draw = ImageDraw.Draw(page)
    for number, one in enumerate(samples):
        left, top = number % COLUMNS * WIDTH, number // COLUMNS * (height + CAPTION)
        size = (WIDTH, round(one.image.height * WIDTH / one.image.width))
        page.paste(one.image.resize(size), (left, top))
        caption = f"{one.text} {one.confidence:.2f}".encode("latin-1", "replace").decode("latin-1")
        draw.text(
            (left + 2, top + height + 2), caption, fill="black" if one.text == one.label else "red"
        )
    return page


def table(samples: Sequence[Sample]) -> str:
    """Return the readings in Markdown, in any script."""
    rows = [f"| `{one.label}` | `{one.text}` | {one.confidence:.3f} |" for one in samples]
    return "\n".join(["| label | reading | confidence |", "| --- | --- | --- |", *rows])


def _log(logger: Any, samples: Sequence[Sample], step: int) -> None:
    """Log in the way of the logger; one that knows no images, such as CSV, is left alone."""
    kind = type(logger).__name__
    if kind == "TensorBoardLogger":
        logger.experiment.add_image("readings", np.asarray(sheet(samples)), step, dataformats="HWC")
        logger.experiment.add_text("readings", table(samples), step)
    elif kind == "WandbLogger":
        captions = [f"{one.label} -> {one.text} ({one.confidence:.2f})" for one in samples]
        logger.log_image("readings", [one.image for one in samples], step=step, caption=captions)
    elif kind == "MLFlowLogger":
        logger.experiment.log_image(logger.run_id, sheet(samples), f"readings/{step:09d}.png")
