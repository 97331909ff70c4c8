#!/usr/bin/env python3
"""Fit a saved model's confidences to words that it was not trained on, and write what comes out
into the file.

tools/calibrate.py strhub/weights/strhub-tiny.safetensors --data_root data --sets val/IIIT5k
val/IC15

A temperature for its logits, a calibration of all confidences, and a correction for words that are
looked at again. The calibration is fitted to single looks at all words, and to rendered grounds
without text that are read as one character, of which no reading is right; then the correction to
the words that were looked at again, so that their confidences are right once they are calibrated.
But the errors that are printed, and kept in the file's card, are of words that they were not fitted
to: each part of the words is measured with what the other parts tell (cross-validation, the mean
over several ways to part them). Beside them stands what perfect confidences would show on so few
words, by chance: the mean, and what one time in 20 exceeds; and the error without what chance adds,
with its interval. A word is right if its text is the label's in all characters that the model
reads. Words are rendered where there are no sets.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
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
from strhub.data.synth import RenderedWords
from strhub.evaluation.calibration import (
    CalibrationError,
    calibration_error,
    calibration_noise,
    fit_calibration,
    fit_correction,
    fit_temperature,
)
from strhub.export import export_beside
from strhub.images.options import image_options, image_to_array
from strhub.images.padding import pad
from strhub.inference.recognizer import Recognizer
from strhub.inference.rereading import ViewReading, conclude, evidence
from strhub.text import ScoredText
from strhub.text.correction import CALIBRATION, CORRECTION, Calibration, Correction

Word = tuple[Image.Image, str]
PARTITIONS = 10  # ways to part the words for cross-validation


class Looked(NamedTuple):
    """What was read of a word, in each of its views, and its label."""

    view_readings: list[ViewReading]
    label: str


class Verdict(NamedTuple):
    """How sure a text was called, the text, and whether it is right."""

    confidence: float
    text: str
    right: bool


class Fitted(NamedTuple):
    """What is fitted to words."""

    correction: Correction
    calibration: Calibration


def stored_words(root: Path, name: str, limit: int | None) -> Iterator[Word]:
    """Yield words of <root>/test/<name>, or of <root>/<name> if that is not there, at most
    `limit`.
    """
    folder = next((one for one in (root / "test" / name, root / name) if one.is_dir()), None)
    if folder is None:
        raise SystemExit(f"calibrate: {name} is neither in {root / 'test'} nor in {root}")
    sources: list[LmdbWords | FolderWords] = [
        *(LmdbWords(path, prepare_label=str) for path in find_lmdbs(folder)),
        *(FolderWords(path, prepare_label=str) for path in find_annotated(folder)),
    ]
    records = [(source, index) for source in sources for index in range(len(source))]
    count = min(len(records), limit or len(records))
    for source, index in (records[number * len(records) // count] for number in range(count)):
        try:
            image, label = source.read(index)
        except UnreadableRecord:
            continue
        yield image.convert("RGB"), label


def rendered_words(charset: str, count: int, seed: int) -> Iterator[Word]:
    words = RenderedWords(charset=charset, max_length=25, seed=seed, difficulty=(0.0, 0.8))
    yield from map(words.render, range(count))


def blank_images(count: int, seed: int) -> Iterator[Word]:
    """Yield rendered grounds with nothing to read."""
    words = RenderedWords(charset="a", max_length=1, seed=seed, difficulty=(0.0, 1.0), blanks=1.0)
    yield from map(words.render, range(count))


def all_words(model: SceneTextModel, args: argparse.Namespace) -> dict[str, list[Word]]:
    """Read the sets, leaving out labels without a character that the model reads."""
    charset = str(model.hparams.charset_train)
    text = ScoredText(charset)
    sets = {name: list(stored_words(args.data_root, name, args.limit)) for name in args.sets}
    if not args.sets:
        sets = {"rendered": list(rendered_words(charset, args.rendered, args.seed))}
    return {name: [word for word in words if text(word[1])] for name, words in sets.items()}


def logits_of(
    model: SceneTextModel, words: Sequence[Word]
) -> list[tuple[np.ndarray[Any, Any], bool]]:
    """Return the logits of the steps that make each text and whether it is right, leaving out empty
    readings.
    """
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
    """Fits what a model lacks, and tells right texts from wrong ones."""

    def __init__(self, model: SceneTextModel) -> None:
        self.model, self.text = model, ScoredText(model.hparams.charset_train)
        for name in (CORRECTION, CALIBRATION):
            self.model.hparams.pop(name, None)

    def fit_temperature(self, words: Sequence[Word]) -> None:
        """Fit the temperature; `ValueError` if all words are read right, or none."""
        logits, right = zip(*logits_of(self.model, words), strict=True)
        self.model.hparams["temperature"] = round(fit_temperature(logits, right), 3)

    def view_reading(self, words: Sequence[Word]) -> list[Looked]:
        """Look at the words as a `Recognizer` of the model does by default."""
        view_readings = Recognizer(self.model, device="cpu").view_readings(
            [image for image, _ in words]
        )
        return [
            Looked(found, label) for found, (_, label) in zip(view_readings, words, strict=True)
        ]

    def fit(self, words: Sequence[Looked], blanks: Sequence[Looked]) -> Fitted:
        """Fit the calibration to single looks at words and at images without text that are read as
        one character, then the correction to the words that were looked at again.
        """
        plain = Fitted(Correction(), Calibration())
        grounds = [one for one in self.verdicts(blanks, plain, again=False) if len(one.text) == 1]
        looks = [*self.verdicts(words, plain, again=False), *grounds]
        calibration = fit_calibration(*map(list, zip(*looks, strict=True)))
        several = [word for word in words if len(word.view_readings) > 1]
        texts = [conclude(word.view_readings, Correction()).decoded.text for word in several]
        read = [(word, text) for word, text in zip(several, texts, strict=True) if text]
        if not read:
            return Fitted(Correction(), calibration)
        correction = fit_correction(
            [evidence(word.view_readings, text) for word, text in read],
            [self.text(text) == self.text(word.label) for word, text in read],
            [text for _, text in read],
            calibration,
        )
        return Fitted(correction, calibration)

    def verdicts(self, words: Sequence[Looked], fitted: Fitted, *, again: bool) -> list[Verdict]:
        """Return how sure each text is called and whether it is right, of one look or all; empty
        texts are left out.
        """
        found = []
        for view_readings, label in words:
            text, sure, *_ = conclude(
                view_readings if again else view_readings[:1], fitted.correction
            ).decoded
            if text:
                right = self.text(text) == self.text(label)
                sure = fitted.calibration(sure, text)
                found.append(Verdict(sure, text, right))
        return found

    def crosswise(
        self, words: Sequence[Looked], blanks: Sequence[Looked], parts: int, *, again: bool
    ) -> list[Verdict]:
        """Return the verdicts on each part of the words with what is fitted to the others."""
        found = []
        for part in range(parts):
            others = [word for number, word in enumerate(words) if number % parts != part]
            found += self.verdicts(words[part::parts], self.fit(others, blanks), again=again)
        return found


def error_of(partitions: Sequence[Sequence[Verdict]]) -> dict[str, float]:
    """Return the calibration error, the mean over partitions of the same words; what perfect
    confidences would show on so many; and the error without what chance adds, with its interval.
    """
    errors, noises = [], []
    for verdicts in partitions:
        confidences, right = [one.confidence for one in verdicts], [one.right for one in verdicts]
        errors.append(calibration_error(confidences, right, trials=200))
        noises.append(calibration_noise(confidences))
    error = CalibrationError(*map(float, np.mean(errors, axis=0)))
    by_chance, most = map(float, np.mean(noises, axis=0))
    told = {
        "error": error.plain, "by_chance": by_chance, "at_most_by_chance": most,
        "without_chance": error.estimate, "low": error.low, "high": error.high,
    }  # fmt: skip
    return {name: round(value, 4) for name, value in told.items()}


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this tool."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="safetensors file, or a model's id")
    parser.add_argument(
        "--data_root", type=Path, default=Path("data"), help="folder that holds test/<name>/"
    )
    parser.add_argument(
        "--sets",
        nargs="*",
        default=[],
        metavar="NAME",
        help="folders of <data_root>/test, or such as val/IIIT5k",
    )
    parser.add_argument(
        "--limit", type=int, metavar="N", help="take no more words than that of each set"
    )
    parser.add_argument(
        "--rendered",
        "--drawn",
        type=int,
        default=1000,
        help="words to render where there are no sets",
    )
    parser.add_argument(
        "--seed", type=int, default=20_000, help="of rendered words; take one that training has not"
    )
    parser.add_argument(
        "--keep_temperature", action="store_true", help="leave the temperature as it is"
    )
    parser.add_argument(
        "--blanks", type=int, default=300, help="images without text to fit to; 0: none"
    )
    parser.add_argument(
        "--parts", type=int, default=5, help="of the words, each measured with the others' fit"
    )
    return parser


def main() -> None:
    """Calibrate a model and write what was fitted into its file."""
    args = build_parser().parse_args()
    path = locate(args.model)
    model = load_from_checkpoint(path).eval()
    sets, calibrator = all_words(model, args), Calibrator(model)
    if not args.keep_temperature:
        try:
            calibrator.fit_temperature([word for words in sets.values() for word in words])
        except ValueError as error:
            print(f"{path}: {error}; file unchanged")
            return
    looked = {name: calibrator.view_reading(words) for name, words in sets.items()}
    every = [word for words in looked.values() for word in words]
    blanks = calibrator.view_reading(list(blank_images(args.blanks, args.seed)))
    fitted = calibrator.fit(every, blanks)
    errors = errors_of(calibrator, every, blanks, args.parts)
    print(table_of(errors))
    calibrated = (
        f"{', '.join(sets)}; the errors are of {args.parts} parts, each measured with the others' "
        f"fit, the mean over {PARTITIONS} ways to part the words"
    )
    told = {
        "temperature": float(model.hparams.get("temperature", 1.0)),
        CORRECTION: list(fitted.correction),
        CALIBRATION: list(fitted.calibration),
    }
    store(path, told, {"calibration_error": errors, "calibrated_on": calibrated})
    print(f"{path}: {', '.join(f'{name} {value}' for name, value in told.items())}")


def table_of(errors: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a line a set, with the errors by number of looks."""
    lines = []
    for name, found in errors.items():
        said = (
            f"{100 * found[way]['error']:.1f} % (by chance {100 * found[way]['by_chance']:.1f}, "
            f"at most {100 * found[way]['at_most_by_chance']:.1f}; without chance "
            f"{100 * found[way]['without_chance']:.1f} [{100 * found[way]['low']:.1f}, "
            f"{100 * found[way]['high']:.1f}])"
            for way in ("one_look", "all_looks")
        )
        lines.append(
            f"{name:<24} {found['words']:>6} words: error with one look "
            f"{', with further looks '.join(said)}"
        )
    return "\n".join(lines)


def store(path: Path, told: Mapping[str, Any], card: Mapping[str, Any]) -> None:
    """Write hyper-parameters and what a card says into a model's file, and its graph anew if it has
    one: that knows the calibration, too.
    """
    checkpoint = read_checkpoint(path)
    hparams, card = {**checkpoint.hparams, **told}, {**checkpoint.card, **card}
    write_checkpoint(path, checkpoint._replace(hparams=hparams, card=card))
    if path.with_suffix(".onnx").exists():
        export_beside(path)


def errors_of(
    calibrator: Calibrator, words: Sequence[Looked], blanks: Sequence[Looked], parts: int
) -> dict[str, dict[str, Any]]:
    """Return the calibration errors of all words together, by number of looks."""
    parts = min(parts, len(words))
    orders = [np.random.default_rng(seed).permutation(len(words)) for seed in range(PARTITIONS)]
    errors: dict[str, Any] = {"words": len(words)}
    for name, again in (("one_look", False), ("all_looks", True)):
        errors[name] = error_of(
            [
                calibrator.crosswise([words[one] for one in order], blanks, parts, again=again)
                for order in orders
            ]
        )
    return {"all": errors}


if __name__ == "__main__":
    main()
