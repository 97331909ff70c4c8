"""What is measured: models, each as PyTorch or an exported file, in one precision, reading batches of one size.

In: names of models and of ways to run them. Out: `Subject`s, each a call that reads one batch.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from strhub.data.lmdb import LmdbWords, find_lmdbs
from strhub.data.transforms import normalization, picture_to_array
from strhub.images import UnreadableImage, find_images, open_image
from strhub.options import unknown_option_message
from strhub.precision import choose_precision
from strhub.scene_text_model import SceneTextModel
from strhub.torch_engine import choose_compiling
from strhub.zoo import create_model, load, model_card

ONNX_PRECISIONS = {
    "onnx": "float32",
    "onnx-float16": "float16",
    "onnx-int8": "int8",
    "onnx-int8-weights": "int8-weights",
}
FORMATS = ("torch", "compiled", *ONNX_PRECISIONS)
MOST_PICTURES = 1024
FRESH = "fresh:"


@dataclass(frozen=True)
class Subject:
    """One way to run one model: `read` reads the next batch."""

    name: str
    model: str
    format: str
    precision: str
    batch_size: int
    read: Callable[[], Any]
    accuracy: float | None = None


@dataclass
class Settings:
    """How to run the models.

    formats: of `FORMATS`; precisions: of `strhub.Recognizer`, for PyTorch. pictures: a folder of pictures or LMDBs
    whose words are read, in turn, over and over; else noise, all `length` steps of it. folder: for exported files.
    """

    device: torch.device
    batch_sizes: Sequence[int] = (1,)
    formats: Sequence[str] = ("torch",)
    precisions: Sequence[str] = ("float32",)
    pictures: str | None = None
    length: int = 25
    folder: Path | None = None


def find_model(source: str) -> SceneTextModel:
    """A trained model by id, path or address, or one with fresh weights by its experiment, as `fresh:parseq`."""
    if source.startswith(FRESH):
        return create_model(source.removeprefix(FRESH)).eval()
    return load(source).eval()


def accuracy_of(source: str) -> float | None:
    """Percent of words read right, the mean over the test sets that the model's card names; none if it names none."""
    measured = {} if source.startswith(FRESH) else model_card(source).get("measured", {})
    values = [value for value in measured.values() if isinstance(value, int | float)]
    return 100 * sum(values) / len(values) if values else None


def subjects(name: str, model: SceneTextModel, settings: Settings, accuracy: float | None = None) -> Iterator[Subject]:
    """All ways to run a model that the settings ask for. `ValueError` for a format that there isn't."""
    for kind in settings.formats:
        if kind not in FORMATS:
            raise ValueError(unknown_option_message(kind, FORMATS, "the list of formats"))
        for precision in settings.precisions if kind not in ONNX_PRECISIONS else [ONNX_PRECISIONS[kind]]:
            run, used = _runner(name, model, kind, precision, settings)
            for size in settings.batch_sizes:
                batches = _batches(model, size, settings)
                title = f"{name}, {kind}, {used}, batches of {size}"
                yield Subject(title, name, kind, used, size, partial(_next_batch, run, batches), accuracy)


def _next_batch(run: Callable[[Tensor], Any], batches: Iterator[Tensor]) -> Any:
    return run(next(batches))


def _runner(
    name: str, model: SceneTextModel, kind: str, precision: str, settings: Settings
) -> tuple[Callable[[Tensor], Any], str]:
    if kind in ONNX_PRECISIONS:
        from strhub.export import export
        from strhub.onnx import IMAGES, LOGITS, open_session

        if settings.folder is None:
            raise ValueError(f"{name}: exported files need a folder to be written to")
        path = settings.folder / f"{len(list(settings.folder.iterdir()))}.onnx"
        export(model, path, precision=precision)
        session = open_session(path, threads=torch.get_num_threads(), device=settings.device.type)
        return lambda images: session.run([LOGITS], {IMAGES: images.numpy()}), precision
    dtype = choose_precision(precision, settings.device)
    copy = SceneTextModel(model.hparams).eval().to(settings.device)
    copy.model.load_state_dict(model.model.state_dict())
    copy.set_precision(dtype)
    if choose_compiling(kind == "compiled"):
        copy.compile_network()
    length = None if settings.pictures else settings.length

    def read(images: Tensor) -> Tensor:
        with torch.inference_mode():
            return copy(images.to(settings.device, non_blocking=True), length)

    return read, str(dtype).removeprefix("torch.")


def _batches(model: SceneTextModel, size: int, settings: Settings) -> Iterator[Tensor]:
    """Batches (B, 3, H, W), over and over."""
    height, width = model.hparams["img_size"]
    if settings.pictures is None:
        width = min(width, 4 * height) if model.hparams.get("keep_aspect") else width
        return itertools.repeat(torch.randn(size, 3, height, width, generator=torch.Generator().manual_seed(0)))
    normalize = normalization(model.hparams["normalize"])
    arrays = [picture_to_array(picture, (height, width), normalize) for picture in _pictures(settings.pictures)]
    if not arrays:
        raise ValueError(f"there are no pictures in {settings.pictures}")
    words = itertools.cycle(arrays)
    count = -(-len(arrays) // size)
    return itertools.cycle([torch.from_numpy(np.stack(list(itertools.islice(words, size)))) for _ in range(count)])


def _pictures(folder: str) -> Iterator[Any]:
    """Those of LMDBs below a folder, or of its files, as many as are enough."""
    databases = find_lmdbs(Path(folder)) if Path(folder).is_dir() else []
    stored = (words.read(index)[0] for words in (LmdbWords(path, prepare_label=str) for path in databases)
              for index in range(len(words)))  # fmt: skip
    files: Iterator[Any] = iter(find_images([folder]))
    for source in itertools.islice(stored if databases else files, MOST_PICTURES):
        try:
            yield open_image(source)
        except UnreadableImage:
            continue
