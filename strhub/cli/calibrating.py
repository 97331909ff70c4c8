"""How a model's confidences are fitted to words, and measured on others: what `strhub-model
calibrate` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch

from strhub.checkpoint.scene_text_model import SceneTextModel
from strhub.cli.model_words import Word
from strhub.evaluation.calibration import fit_calibration, fit_correction, fit_temperature
from strhub.evaluation.fitting import FITTED, Fitted, Verdict, error_of, scored
from strhub.images.options import image_options, image_to_array
from strhub.images.padding import pad
from strhub.inference.recognizer import Recognizer
from strhub.inference.rereading import ViewReading, conclude, evidence
from strhub.utils.progress import progress

__all__ = ["PARTITIONS", "Calibrator", "errors_of"]

Array: TypeAlias = np.ndarray[Any, Any]
PARTITIONS = 10  # partitions of the words for cross-validation
BATCH = 64  # images


class ViewedWord(NamedTuple):
    """What was read of a word, in each of its views, and its label."""

    view_readings: list[ViewReading]
    label: str


def logits_of(model: SceneTextModel, words: Sequence[Word]) -> list[tuple[Array, bool]]:
    """Return the logits of the steps that make each text and whether it is right, leaving out empty
    readings.
    """
    options, text = image_options(model.hparams), scored(str(model.hparams.charset_train))
    found = []
    for start in progress(range(0, len(words), BATCH), f"batches of {BATCH} words read"):
        part = words[start : start + BATCH]
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
        self.model, self.text = model, scored(str(model.hparams.charset_train))
        for name in FITTED:
            self.model.hparams.pop(name, None)

    def fit_temperature(self, words: Sequence[Word]) -> None:
        """Fit the temperature; `ValueError` if all words are read right, or none."""
        logits, right = zip(*logits_of(self.model, words), strict=True)
        self.model.hparams["temperature"] = round(fit_temperature(logits, right), 3)

    def view_reading(self, words: Sequence[Word]) -> list[ViewedWord]:
        """Look at the words as a `Recognizer` of the model does by default."""
        recognizer, found = Recognizer(self.model, device="cpu"), []
        for start in progress(range(0, len(words), BATCH), f"batches of {BATCH} images read"):
            part = words[start : start + BATCH]
            viewed = recognizer.view_readings([image for image, _ in part])
            found += [
                ViewedWord(views, label) for views, (_, label) in zip(viewed, part, strict=True)
            ]
        return found

    def fit(self, words: Sequence[ViewedWord], blanks: Sequence[ViewedWord]) -> Fitted:
        """Fit the calibration to single looks at words and at images without text that are read as
        one character, then the correction to the words that were looked at again.
        """
        plain = Fitted()
        grounds = [one for one in self.verdicts(blanks, plain, again=False) if len(one.text) == 1]
        single = [*self.verdicts(words, plain, again=False), *grounds]
        calibration = fit_calibration(*map(list, zip(*single, strict=True)))
        several = [word for word in words if len(word.view_readings) > 1]
        texts = [conclude(word.view_readings, plain.correction).decoded.text for word in several]
        read = [(word, text) for word, text in zip(several, texts, strict=True) if text]
        if not read:
            return Fitted(calibration=calibration)
        correction = fit_correction(
            [evidence(word.view_readings, text) for word, text in read],
            [self.text(text) == self.text(word.label) for word, text in read],
            [text for _, text in read],
            calibration,
        )
        return Fitted(correction, calibration)

    def verdicts(
        self, words: Sequence[ViewedWord], fitted: Fitted, *, again: bool
    ) -> list[Verdict]:
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

    def cross_validated(
        self, words: Sequence[ViewedWord], blanks: Sequence[ViewedWord], parts: int, *, again: bool
    ) -> list[Verdict]:
        """Return the verdicts on each part of the words with what is fitted to the others."""
        found = []
        for part in range(parts):
            others = [word for number, word in enumerate(words) if number % parts != part]
            found += self.verdicts(words[part::parts], self.fit(others, blanks), again=again)
        return found


def errors_of(
    calibrator: Calibrator, words: Sequence[ViewedWord], blanks: Sequence[ViewedWord], parts: int
) -> dict[str, dict[str, Any]]:
    """Return the calibration errors of all words together, by number of looks."""
    parts = min(parts, len(words))
    orders = [np.random.default_rng(seed).permutation(len(words)) for seed in range(PARTITIONS)]
    errors: dict[str, Any] = {"words": len(words)}
    for name, again in (("one_look", False), ("all_looks", True)):
        errors[name] = error_of(
            [
                calibrator.cross_validated(
                    [words[one] for one in order], blanks, parts, again=again
                )
                for order in progress(orders, "partitions of the words measured")
            ]
        )
    return {"all": errors}
