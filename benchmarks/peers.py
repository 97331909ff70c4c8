"""Readers of words that benchmarks/compare.py times: strhub's own and those of other packages.

Runs in a Python that need not have strhub: only the standard library is imported before a reader is
created. Input: RGB arrays (H, W, 3) of words; output: their texts.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
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


def settle(state: Mapping[str, Any], letters: int) -> None:
    """Change fresh weights of a PARSeq in place so that it reads so many letters in any image, at
    the cost at which a trained one reads them.

    The decoder's parts add nothing, so each position gives its own query, normalized; the head has
    that as the weights of the position's letter. Positions after the last letter share the query
    of [E]: as many different ones would add up to what resembles a letter's.
    """
    for name, tensor in state.items():
        if name.startswith("decoder.layers.") and ("out_proj" in name or "linear2" in name):
            tensor.zero_()
    queries = state["pos_queries"][0]  # (L, D)
    queries[letters:] = queries[letters].clone()
    outputs = (queries - queries.mean(1, keepdim=True)) / queries.std(1, keepdim=True)
    state["head.weight"].zero_()
    state["head.bias"].zero_()
    for position, output in enumerate(outputs[: letters + 1]):
        state["head.weight"][position + 1 if position < letters else 0] = output


def parseq(
    threads: int,
    *,
    model: str,
    letters: int | None,
    precision: str = "float32",
    compile: bool = False,
    part: str = "",
) -> Read:
    """Return strhub's PARSeq with fresh weights that read so many letters, by default 25.

    precision, compile: of `Recognizer`, the former also "int8", exported. part: "encoder" for that
    alone: no texts.
    """
    from strhub import Recognizer
    from strhub.checkpoint.zoo import create_model

    made: Any = create_model(model).eval()
    settle(made.model.state_dict(), 25 if letters is None else letters)
    options: dict[str, Any] = {"threads": threads, "turn_tall": False, "reread_below": 0}
    if precision == "int8":
        from strhub.export import export

        path = Path(tempfile.mkdtemp()) / "parseq.onnx"
        atexit.register(shutil.rmtree, path.parent)
        export(made, path, precision=precision)
        recognizer = Recognizer(path, **options)
    else:
        recognizer = Recognizer(made, device="cpu", precision=precision, compile=compile, **options)
    if part == "encoder":
        recognizer.model.model.forward = _encoder_alone(recognizer.model.model)
    return lambda images: [reading.text for reading in recognizer(list(images))]


def _encoder_alone(network: Any) -> Callable[..., Any]:
    """Return what computes the encoder and gives the logits of an empty text, (B, 1, C)."""
    ended = network.head.weight.new_zeros(1, 1, len(network.head.weight))
    ended[..., 0] = 9.0

    def forward(images: Any, max_length: int | None = None) -> Any:
        return ended.expand(len(network.encoder(images)), -1, -1)

    return forward


def reference(threads: int, *, model: str = "parseq", letters: int | None = None) -> Read:
    """Return a model of the package of PARSeq's authors, also called `strhub`, in float32.

    letters: that fresh weights read, which only say how long it takes; None for released weights.
    """
    import torch
    from PIL import Image

    from strhub.data.module import SceneTextDataModule
    from strhub.models.utils import create_model

    torch.set_num_threads(threads)
    network = create_model(model, letters is None).eval()
    if letters is not None:
        settle(network.state_dict(), letters)
    transform = SceneTextDataModule.get_transform(network.hparams.img_size)

    @torch.inference_mode()
    def read(images: Sequence[Any]) -> list[str]:
        batch = torch.stack([transform(Image.fromarray(image)) for image in images])
        texts, _ = network.tokenizer.decode(network(batch).softmax(-1))
        return list(texts)

    return read


READERS: dict[str, Callable[..., Read]] = {
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
KINDS: dict[str, dict[str, Any]] = {
    ", encoder": {"part": "encoder"},
    "": {},
    ", bfloat16": {"precision": "bfloat16"},
    ", bfloat16, compiled": {"precision": "bfloat16", "compile": True},
    ", int8": {"precision": "int8"},
}
FRESH: dict[str, Callable[..., Read]] = {  # with weights that only say how long it takes
    model + kind: partial(parseq, model=model, **options)
    for model in ("parseq", "parseq-tiny")
    for kind, options in KINDS.items()
}
READERS |= FRESH
LETTERED = (*FRESH, "reference", "reference-tiny")  # which take a number of letters


def measure(
    name: str, paths: Sequence[str], *, threads: int, batch_size: int, letters: int | None = None
) -> dict[str, Any]:
    """Return texts, seconds of each word alone and of all in batches, and the process's peak MiB.

    Files are opened before: decoding an image is the same work for all.
    """
    import numpy as np
    from PIL import Image

    images = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    began = time.perf_counter()
    read = READERS[name](threads, **({"letters": letters} if name in LETTERED else {}))
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
