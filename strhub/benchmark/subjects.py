"""What is measured: models, each as PyTorch or an exported file, in one precision, reading batches
of one size.

In: names of models and of ways to run them. Out: `Subject`s, each a call that reads one batch.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from strhub.checkpoint.scene_text_model import SceneTextModel
from strhub.checkpoint.zoo import create_model, load, model_card
from strhub.data.sources.dataset import UnreadableRecord
from strhub.data.sources.lmdb import LmdbWords, find_lmdbs
from strhub.images.find import find_images
from strhub.images.open import UnreadableImage, open_image
from strhub.images.options import image_options, image_to_array
from strhub.images.padding import pad
from strhub.inference.onnx_description import IMAGES, LOGITS
from strhub.inference.onnx_engine import group_by_shape
from strhub.inference.onnx_session import open_session
from strhub.inference.torch_engine import choose_compiling
from strhub.utils.options import unknown_name_message
from strhub.utils.precision import choose_precision, precision_name

ONNX_PRECISIONS = {
    "onnx": "float32",
    "onnx-float16": "float16",
    "onnx-int8": "int8",
    "onnx-int8-weights": "int8-weights",
}
FORMATS = ("torch", "compiled", *ONNX_PRECISIONS)
MOST_IMAGES = 1024
FRESH = "fresh:"

Batch = list[
    Tensor
]  # images (B', 3, H, W) that are computed together; one batch, or one for each width


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

    formats: of `FORMATS`; precisions: of `strhub.Recognizer`, for PyTorch. images: a folder of
    images or LMDBs whose words are read, in turn, over and over; else noise, of which PyTorch runs
    all steps, and exported files those that it takes. folder: for exported files.
    """

    device: torch.device
    batch_sizes: Sequence[int] = (1,)
    formats: Sequence[str] = ("torch",)
    precisions: Sequence[str] = ("float32",)
    images: str | None = None
    folder: Path | None = None


def find_model(source: str) -> SceneTextModel:
    """Return a trained model by id, path or address, or one with fresh weights by its experiment,
    as `fresh:parseq`.
    """
    if source.startswith(FRESH):
        return create_model(source.removeprefix(FRESH)).eval()
    return load(source).eval()


def accuracy_of(source: str) -> float | None:
    """Return the percentage of words read right, the mean over the test sets in the model's card;
    None if it has none.
    """
    measured = {} if source.startswith(FRESH) else model_card(source).get("measured", {})
    values = [value for value in measured.values() if isinstance(value, int | float)]
    return 100 * sum(values) / len(values) if values else None


def subjects(
    name: str, model: SceneTextModel, settings: Settings, accuracy: float | None = None
) -> Iterator[Subject]:
    """Yield all ways to run a model that the settings ask for. `ValueError` for a format that there
    isn't.
    """
    words = None if settings.images is None else _words(model, settings.images)
    for kind in settings.formats:
        if kind not in FORMATS:
            raise ValueError(unknown_name_message(kind, FORMATS, "format"))
        for precision in (
            settings.precisions if kind not in ONNX_PRECISIONS else [ONNX_PRECISIONS[kind]]
        ):
            run, used = _runner(name, model, kind, precision, settings)
            for size in settings.batch_sizes:
                batches = itertools.cycle(
                    _batches(model, words, size, padded=kind not in ONNX_PRECISIONS)
                )
                title = f"{name}, {kind}, {used}, batches of {size}"
                yield Subject(
                    title, name, kind, used, size, partial(_read_next, run, batches), accuracy
                )


def image_size(hparams: Mapping[str, Any]) -> tuple[int, int]:
    """Return the height and width of an image in pixels; for a model that keeps the aspect ratio,
    those of a typical word.
    """
    options = image_options(hparams)
    height, width = options["img_size"]
    return height, min(width, 4 * height) if options["keep_aspect"] else width


def _read_next(run: Callable[[Tensor], Any], batches: Iterator[Batch]) -> Any:
    return [run(images) for images in next(batches)]


def _runner(
    name: str, model: SceneTextModel, kind: str, precision: str, settings: Settings
) -> tuple[Callable[[Tensor], Any], str]:
    if kind in ONNX_PRECISIONS:
        from strhub.export import export

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
    length = None if settings.images else int(model.hparams["max_label_length"])

    def read(images: Tensor) -> Tensor:
        with torch.inference_mode():
            return copy(images.to(settings.device, non_blocking=True), length)

    return read, precision_name(precision, settings.device)


def _batches(
    model: SceneTextModel, words: Sequence[Tensor] | None, size: int, *, padded: bool
) -> list[Batch]:
    """Yield batches of words, or one batch of noise. Words of several widths are padded, or
    computed separately where files need that.
    """
    if words is None:
        generator = torch.Generator().manual_seed(0)
        return [[torch.randn(size, 3, *image_size(model.hparams), generator=generator)]]
    remaining = itertools.cycle(words)
    batches = [list(itertools.islice(remaining, size)) for _ in range(-(-len(words) // size))]
    if padded:
        return [[pad(batch)] for batch in batches]
    return [
        [torch.stack([batch[index] for index in indices]) for indices in group_by_shape(batch)]
        for batch in batches
    ]


def _words(model: SceneTextModel, folder: str) -> list[Tensor]:
    """Return the images of a folder as the model takes them, (3, H, W) each."""
    options = image_options(model.hparams)
    words = [torch.from_numpy(image_to_array(image, options)) for image in _images(folder)]
    if not words:
        raise ValueError(f"there are no images in {folder}")
    return words


def _images(folder: str) -> Iterator[Image]:
    """Yield those of LMDBs below a folder, or of its files, as many as are enough; what is damaged
    is left out.
    """
    databases = find_lmdbs(Path(folder)) if Path(folder).is_dir() else []
    return itertools.islice(
        _stored(databases) if databases else _opened(find_images([folder])), MOST_IMAGES
    )


def _stored(databases: Iterable[Path]) -> Iterator[Image]:
    for path in databases:
        words = LmdbWords(path, prepare_label=str)
        for index in range(len(words)):
            with contextlib.suppress(UnreadableRecord):
                yield words.read(index)[0]


def _opened(paths: Iterable[Path]) -> Iterator[Image]:
    for path in paths:
        with contextlib.suppress(UnreadableImage):
            yield open_image(path)
