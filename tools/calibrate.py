#!/usr/bin/env python3
"""Fit the temperature of a saved model on drawn words and benchmarks, and write it into the file.

tools/calibrate.py strhub/weights/strhub-tiny.safetensors --data_root data --sets IIIT5k SVT

Every second word of each set is fitted on; the errors that are printed, and kept in the file's card, are of the others.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from strhub.checkpoint.formats import read_checkpoint, write_checkpoint
from strhub.checkpoint.scene_text_model import SceneTextModel
from strhub.checkpoint.zoo import load_from_checkpoint, locate
from strhub.data.module import SceneTextDataModule
from strhub.data.synth import DrawnWords
from strhub.evaluation.calibration import expected_calibration_error, fit_temperature, sequence_confidence
from strhub.export import export_beside

Words = list[tuple[np.ndarray[Any, Any], bool]]  # logits of the steps that make the text, and whether it is right


def read_words(model: SceneTextModel, batches: Iterator[tuple[torch.Tensor, list[str]]]) -> Words:
    """Read batches of (images, labels), leaving out what was read as nothing."""
    words: Words = []
    for images, labels in batches:
        with torch.inference_mode():
            logits = model(images)
        readings = model.tokenizer.decode_characters(logits.softmax(-1))
        for row, (text, *_), label in zip(logits.numpy(), readings, labels, strict=True):
            used = model.tokenizer.select(row.argmax(-1))[1]
            if text:
                words.append((row[:used], model.charset_adapter(text) == model.charset_adapter(label)))
    return words


def drawn_batches(model: SceneTextModel, count: int, seed: int) -> Iterator[tuple[torch.Tensor, list[str]]]:
    drawn = DrawnWords(charset=model.hparams.charset_train, max_length=25, seed=seed, difficulty=(0.0, 0.8))
    transform = SceneTextDataModule.get_transform(model.hparams.img_size, normalize=model.hparams.normalize)
    for start in range(0, count, 64):
        pictures, labels = zip(*map(drawn.draw, range(start, min(start + 64, count))), strict=True)
        yield torch.stack([transform(picture) for picture in pictures]), list(labels)


def benchmark_batches(model: SceneTextModel, root: Path, name: str) -> Iterator[tuple[torch.Tensor, list[str]]]:
    data = SceneTextDataModule(
        root_dir=root, train_dir="", img_size=model.hparams.img_size, max_label_length=model.hparams.max_label_length,
        charset_train=model.hparams.charset_train, charset_test=model.hparams.charset_train, batch_size=64,
        normalize=model.hparams.normalize,
    )  # fmt: skip
    for batch in data.test_dataloader(name):
        yield batch.images, batch.labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="safetensors file, or a model's id")
    parser.add_argument("--data_root", type=Path, default=Path("data"), help="folder that holds test/<name>/")
    parser.add_argument("--sets", nargs="*", default=[], metavar="NAME", help="folders of <data_root>/test")
    parser.add_argument("--drawn", type=int, default=1000, help="words to draw")
    parser.add_argument("--seed", type=int, default=20_000, help="of the drawn words; take one that training has not")
    given = parser.parse_args()
    path = locate(given.model)
    model = load_from_checkpoint(path).eval()
    sets = {"drawn": read_words(model, drawn_batches(model, given.drawn, given.seed))} if given.drawn else {}
    sets |= {name: read_words(model, benchmark_batches(model, given.data_root, name)) for name in given.sets}
    fitted = [word for words in sets.values() for word in words[::2]]
    if len({right for _, right in fitted}) < 2:
        print(f"{path}: no temperature can be fitted, since all that was read is right, or none of it; file unchanged")
        return
    temperature = round(fit_temperature([logits for logits, _ in fitted], [right for _, right in fitted]), 3)
    errors = {}
    held_out = {name: words[1::2] for name, words in sets.items()}
    held_out["all"] = [word for words in held_out.values() for word in words]
    for name, words in held_out.items():
        right = [verdict for _, verdict in words]
        before, after = (
            expected_calibration_error([sequence_confidence(logits, value) for logits, _ in words], right)
            for value in (1.0, temperature)
        )
        errors[name] = {"words": len(words), "before": round(before, 4), "after": round(after, 4)}
        print(f"{name:<10} {len(words):>6} words: calibration error {100 * before:.1f} -> {100 * after:.1f} %")
    checkpoint = read_checkpoint(path)
    card = {**checkpoint.card, "calibration_error": errors}
    hparams = {**checkpoint.hparams, "temperature": temperature}
    write_checkpoint(path, checkpoint._replace(hparams=hparams, card=card))
    if path.with_suffix(".onnx").exists():  # a graph that points at these weights, and knows the temperature
        export_beside(path)
    print(f"{path}: temperature {temperature}")


if __name__ == "__main__":
    main()
