#!/usr/bin/env python3
"""Fit a saved model's confidences to words that it was not trained on, and write what comes out into the file.

tools/calibrate.py strhub/weights/strhub-tiny.safetensors --data_root data --sets val/IIIT5k val/IC15

A temperature for its logits, and a correction for words that are looked at again. Every second word of each set is
fitted on; the errors that are printed, and kept in the file's card, are of the others. A word is right if its text is
the label's in all characters that the model reads. Words are rendered where there are no sets.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from strhub.checkpoint.formats import read_checkpoint, write_checkpoint
from strhub.checkpoint.scene_text_model import SceneTextModel
from strhub.checkpoint.zoo import load_from_checkpoint, locate
from strhub.data.sources.dataset import UnreadableRecord
from strhub.data.sources.folder import FolderWords, find_annotated
from strhub.data.sources.lmdb import LmdbWords, find_lmdbs
from strhub.data.synth import DrawnWords
from strhub.evaluation.calibration import (
    expected_calibration_error,
    fit_correction,
    fit_temperature,
)
from strhub.export import export_beside
from strhub.images.options import image_options, image_to_array
from strhub.images.padding import pad
from strhub.inference.recognizer import Recognizer
from strhub.inference.rereading import Look, conclude, evidence
from strhub.text import ScoredText
from strhub.text.correction import CORRECTION, Correction

Word = tuple[Image.Image, str]
Verdicts = list[tuple[float, bool]]


class Sets(NamedTuple):
    """Words by set: what is fitted on, and what is measured on."""

    fitted: dict[str, list[Word]]
    measured: dict[str, list[Word]]


def stored_words(root: Path, name: str, limit: int | None) -> Iterator[Word]:
    """Yield words of <root>/test/<name>, or of <root>/<name> if that is not there, at most `limit`."""
    folder = next((one for one in (root / "test" / name, root / name) if one.is_dir()), None)
    if folder is None:
        raise SystemExit(f"calibrate: {name} is neither in {root / 'test'} nor in {root}")
    sources: list[LmdbWords | FolderWords] = [
        *(LmdbWords(path, prepare_label=str) for path in find_lmdbs(folder)),
        *(FolderWords(path, prepare_label=str) for path in find_annotated(folder)),
    ]
    places = [(source, index) for source in sources for index in range(len(source))]
    count = min(len(places), limit or len(places))
    for source, index in (places[number * len(places) // count] for number in range(count)):
        try:
            image, label = source.read(index)
        except UnreadableRecord:
            continue
        yield image.convert("RGB"), label


def rendered_words(charset: str, count: int, seed: int) -> Iterator[Word]:
    words = DrawnWords(charset=charset, max_length=25, seed=seed, difficulty=(0.0, 0.8))
    yield from map(words.draw, range(count))


def all_words(model: SceneTextModel, given: argparse.Namespace) -> Sets:
    """Read the sets, leaving out labels without a character that the model reads."""
    charset = str(model.hparams.charset_train)
    text = ScoredText(charset)
    sets = {name: list(stored_words(given.data_root, name, given.limit)) for name in given.sets}
    if not given.sets:
        sets = {"rendered": list(rendered_words(charset, given.rendered, given.seed))}
    sets = {name: [word for word in words if text(word[1])] for name, words in sets.items()}
    return Sets({n: words[::2] for n, words in sets.items()}, {n: words[1::2] for n, words in sets.items()})


def logits_of(model: SceneTextModel, words: Sequence[Word]) -> list[tuple[np.ndarray[Any, Any], bool]]:
    """Return the logits of the steps that make each text and whether it is right, leaving out empty readings."""
    options, text = image_options(model.hparams), ScoredText(model.hparams.charset_train)
    found = []
    for start in range(0, len(words), 64):
        part = words[start : start + 64]
        images = pad([torch.from_numpy(image_to_array(image, options)) for image, _ in part])
        with torch.inference_mode():
            logits = model(images)
        readings = model.tokenizer.decode_characters(logits.softmax(-1))
        for row, (read, *_), (_, label) in zip(logits.numpy(), readings, part, strict=True):
            if read:
                used = model.tokenizer.select(row.argmax(-1))[1]
                found.append((row[:used], text(read) == text(label)))
    return found


class Calibrator:
    """Fits what a model lacks. `temperature`, `correction`: of the model as it is, until they are fitted."""

    def __init__(self, model: SceneTextModel) -> None:
        self.model, self.text = model, ScoredText(model.hparams.charset_train)
        self.temperature = float(model.hparams.get("temperature", 1.0))
        self.correction = Correction.of(model.hparams)

    def fit_temperature(self, words: Sequence[Word]) -> None:
        """Fit the temperature; `ValueError` if all words are read right, or none."""
        logits, right = zip(*logits_of(self.model, words), strict=True)
        self.temperature = round(fit_temperature(logits, right), 3)
        self.model.hparams["temperature"] = self.temperature

    def fit_correction(self, words: Sequence[Word]) -> None:
        """Fit the correction, if words are looked at again and some of these are."""
        looks = [(found, label) for found, (_, label) in zip(self.looks(words), words, strict=True) if len(found) > 1]
        texts = [conclude(found, self.correction).decoded.text for found, _ in looks]
        read = [number for number, text in enumerate(texts) if text]
        if read:
            self.correction = fit_correction(
                [evidence(looks[number][0], texts[number]) for number in read],
                [self.text(texts[number]) == self.text(looks[number][1]) for number in read],
            )

    def looks(self, words: Sequence[Word]) -> list[list[Look]]:
        """Look at the words as a `Recognizer` of the model does by default."""
        return list(Recognizer(self.model, device="cpu").looks([image for image, _ in words]))

    def verdicts(self, words: Sequence[Word]) -> tuple[Verdicts, Verdicts]:
        """Return confidences and whether they are of right texts: of one look at each image, and of all."""
        once: Verdicts = []
        again: Verdicts = []
        for looks, (_, label) in zip(self.looks(words), words, strict=True):
            for chosen, verdicts in ((looks[0], once), (conclude(looks, self.correction), again)):
                right = self.text(chosen.decoded.text) == self.text(label)
                verdicts.append((chosen.decoded.confidence, right))
        return once, again


def error_of(verdicts: Verdicts) -> float:
    confidences, right = zip(*verdicts, strict=True)
    return round(expected_calibration_error(confidences, right), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="safetensors file, or a model's id")
    parser.add_argument("--data_root", type=Path, default=Path("data"), help="folder that holds test/<name>/")
    parser.add_argument(
        "--sets", nargs="*", default=[], metavar="NAME", help="folders of <data_root>/test, or such as val/IIIT5k"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="take no more words than that of each set")
    parser.add_argument("--rendered", "--drawn", type=int, default=1000, help="words to render where there are no sets")
    parser.add_argument("--seed", type=int, default=20_000, help="of rendered words; take one that training has not")
    parser.add_argument("--keep_temperature", action="store_true", help="fit the correction alone")
    given = parser.parse_args()
    path = locate(given.model)
    model = load_from_checkpoint(path).eval()
    sets, calibrator = all_words(model, given), Calibrator(model)
    fitted = [word for words in sets.fitted.values() for word in words]
    if not given.keep_temperature:
        try:
            calibrator.fit_temperature(fitted)
        except ValueError as error:
            print(f"{path}: {error}; file unchanged")
            return
    calibrator.fit_correction(fitted)
    errors = errors_of(calibrator, sets)
    for name, found in errors.items():
        one, several = (f"{100 * found[which]:.1f} %" for which in ("one_look", "all_looks"))
        print(f"{name:<24} {found['words']:>6} words: error with one look {one}, with further looks {several}")
    checkpoint = read_checkpoint(path)
    calibrated = f"every second word of {', '.join(sets.fitted)}; the errors are of the others"
    card = {**checkpoint.card, "calibration_error": errors, "calibrated_on": calibrated}
    hparams = {**checkpoint.hparams, "temperature": calibrator.temperature, CORRECTION: list(calibrator.correction)}
    write_checkpoint(path, checkpoint._replace(hparams=hparams, card=card))
    if path.with_suffix(".onnx").exists():  # a graph that points at these weights, and knows the calibration
        export_beside(path)
    print(f"{path}: temperature {calibrator.temperature}, correction {', '.join(map(str, calibrator.correction))}")


def errors_of(calibrator: Calibrator, sets: Sets) -> dict[str, dict[str, Any]]:
    """Return the calibration errors of each set, and of all if there are several."""
    verdicts = {name: calibrator.verdicts(words) for name, words in sets.measured.items() if words}
    if len(verdicts) > 1:
        once, again = ([one for found in verdicts.values() for one in found[which]] for which in (0, 1))
        verdicts["all"] = once, again
    return {
        name: {"words": len(once), "one_look": error_of(once), "all_looks": error_of(again)}
        for name, (once, again) in verdicts.items()
    }


if __name__ == "__main__":
    main()
