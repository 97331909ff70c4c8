"""Readers of words that benchmarks/compare.py times: strhub's own and other packages'.

Runs in a Python that may have no strhub: only the standard library is imported before a reader is
made. In: RGB arrays (H, W, 3) of words; out: their texts.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

Read = Callable[[Sequence[Any]], list[str]]


def strhub(threads: int, *, model: str, **options: Any) -> Read:
    """Return strhub's `Recognizer`; options: of its own."""
    from strhub import Recognizer

    recognizer = Recognizer(model, device="cpu", threads=threads, **options)
    return lambda images: [reading.text for reading in recognizer(list(images))]


def rapidocr(threads: int) -> Read:
    """Return the recognizer of the wheel `rapidocr`, as it is without detection."""
    import logging

    from rapidocr import RapidOCR

    logging.disable(logging.CRITICAL)
    engine = RapidOCR(params={"EngineConfig.onnxruntime.intra_op_num_threads": threads})

    def read(images: Sequence[Any]) -> list[str]:
        bgr = [image[..., ::-1] for image in images]  # as OpenCV opens files
        found = [engine(image, use_det=False, use_cls=False, use_rec=True) for image in bgr]
        return [one.txts[0] if one.txts else "" for one in found]

    return read


def onnxtr(threads: int, *, model: str = "crnn_mobilenet_v3_small") -> Read:
    """Return a recognition predictor of OnnxTR; its weights must be in its cache."""
    from onnxruntime import SessionOptions
    from onnxtr.models import EngineConfig, recognition_predictor

    options = SessionOptions()
    options.intra_op_num_threads = threads
    predictor = recognition_predictor(model, engine_cfg=EngineConfig(session_options=options))
    return lambda images: [text for text, _ in predictor(list(images))]


def easyocr(threads: int) -> Read:
    """Return the recognizer of EasyOCR for English; its weights must be in its folder."""
    import torch
    from easyocr import Reader

    torch.set_num_threads(threads)
    reader = Reader(["en"], gpu=False, detector=False, download_enabled=False, verbose=False)

    def read(images: Sequence[Any]) -> list[str]:
        texts = []
        for image in images:
            gray = image.mean(axis=2).round().astype("uint8")
            height, width = gray.shape
            box = [[0, width, 0, height]]
            found = reader.recognize(gray, horizontal_list=box, free_list=[], detail=0)
            texts.append(" ".join(found))
        return texts

    return read


def reference(threads: int, *, model: str = "parseq", pretrained: bool = True) -> Read:
    """Return a model of the package of PARSeq's authors, also called `strhub`, in float32.

    pretrained: False for random weights, which only say how long it takes.
    """
    import torch
    from PIL import Image

    from strhub.data.module import SceneTextDataModule
    from strhub.models.utils import create_model

    torch.set_num_threads(threads)
    network = create_model(model, pretrained).eval()
    transform = SceneTextDataModule.get_transform(network.hparams.img_size)

    @torch.inference_mode()
    def read(images: Sequence[Any]) -> list[str]:
        batch = torch.stack([transform(Image.fromarray(image)) for image in images])
        texts, _ = network.tokenizer.decode(network(batch).softmax(-1))
        return list(texts)

    return read


READERS: dict[str, Callable[[int], Read]] = {
    "strhub-small": partial(strhub, model="strhub-small"),
    "strhub-small, one look": partial(strhub, model="strhub-small", reread_below=0),
    "strhub-tiny": partial(strhub, model="strhub-tiny"),
    "strhub-tiny, one look": partial(strhub, model="strhub-tiny", reread_below=0),
    "rapidocr": rapidocr,
    "onnxtr": onnxtr,
    "easyocr": easyocr,
    "reference": reference,
    "reference-tiny": partial(reference, model="parseq-tiny"),
}
OURS = tuple(name for name in READERS if name.startswith("strhub"))


def measure(name: str, paths: Sequence[str], *, threads: int, batch_size: int) -> dict[str, Any]:
    """Return texts, seconds of each word alone and of all in batches, and the process's peak MiB.

    Files are opened before: decoding an image is the same work for all.
    """
    import numpy as np
    from PIL import Image

    images = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    began = time.perf_counter()
    read = READERS[name](threads)
    made = time.perf_counter() - began
    read(images[:2])
    read(images[:1])  # warm
    alone, texts = [], []
    for image in images:
        began = time.perf_counter()
        texts += read([image])
        alone.append(time.perf_counter() - began)
    began = time.perf_counter()
    for start in range(0, len(images), batch_size):
        read(images[start : start + batch_size])
    batches = time.perf_counter() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"texts": texts, "alone": alone, "batches": batches, "made": made, "memory": memory}


def main() -> None:
    """Measure what standard input asks for, and print it as a line of JSON."""
    asked = json.load(sys.stdin)
    # as strhub.utils.telemetry does: the Pythons of other packages do not have it
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    if hasattr(os, "sched_setaffinity"):
        processors = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, processors[: asked["threads"]])
    with contextlib.redirect_stdout(sys.stderr):  # what packages print
        found = measure(**asked)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
