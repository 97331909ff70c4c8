"""Calibrate a model's confidences on words that it was not trained on, and store that in its file.

Three things are fitted: a temperature for the logits, a calibration of all confidences, and a
correction for re-read words. The calibration is fitted to single looks at all words, and to
rendered backgrounds without text that are read as one character, none of which is right; then the
correction is fitted to the re-read words. The errors that are printed, and stored in the file's
card, are cross-validated (mean over several partitions). Beside them are the errors that perfect
confidences would show by chance on so few words: the mean, and the 95th percentile; and the error
corrected for chance, with its interval. A word is right if its text equals the label in all
characters that the model reads. Without --sets, words are rendered.

example:
  strhub-model calibrate mine.safetensors --data_root data --sets val/mine
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from strhub.cli.model_words import (
    Word,
    blank_images,
    rendered_words,
    stored_words,
    word_arguments,
)
from strhub.evaluation.fitting import scored
from strhub.utils.renamed_option import former_option


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of calibrate."""
    parser.add_argument("model", help=".safetensors file, or id of a model")
    word_arguments(parser)
    parser.add_argument(
        "--limit", type=int, metavar="N", help="use at most this many words of each set"
    )
    parser.add_argument(
        "--rendered",
        type=int,
        default=1000,
        help="number of words to render if there are no sets",
    )
    former_option(parser, "--drawn", "rendered")
    parser.add_argument(
        "--seed",
        type=int,
        default=20_000,
        help="random seed of rendered words; use another one than in training",
    )
    parser.add_argument(
        "--keep_temperature", action="store_true", help="do not change the temperature"
    )
    parser.add_argument(
        "--blanks", type=int, default=300, help="number of images without text to fit to; 0: none"
    )
    parser.add_argument("--parts", type=int, default=5, help="number of folds for cross-validation")


def words_of(charset: str, args: argparse.Namespace) -> dict[str, list[Word]]:
    """Return the words of each set, leaving out unreadable images, and labels without a character
    of the charset. `ValueError` if no word is left.
    """
    text, sets = scored(charset), {}
    for name in args.sets:
        stored = stored_words(args.data_root, name, args.limit)
        sets[name] = [(image, label) for image, label in stored if image is not None]
    if not args.sets:
        sets = {"rendered": list(rendered_words(charset, args.rendered, args.seed))}
    kept = {name: [word for word in words if text(word[1])] for name, words in sets.items()}
    if not any(kept.values()):
        raise ValueError(f"{', '.join(kept)}: no word has a character that the model reads")
    return kept


def run(args: argparse.Namespace) -> None:
    """Calibrate a model and write what was fitted into its file."""
    from strhub.checkpoint.zoo import load_from_checkpoint, locate
    from strhub.cli.calibrating import PARTITIONS, Calibrator, errors_of

    path = locate(args.model)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: write it as a .safetensors file first, with strhub-export")
    model = load_from_checkpoint(path).eval()
    sets, calibrator = words_of(str(model.hparams.charset_train), args), Calibrator(model)
    if not args.keep_temperature:
        try:
            calibrator.fit_temperature([word for words in sets.values() for word in words])
        except ValueError as error:
            print(f"{path}: {error}; file unchanged")
            return
    viewed = {name: calibrator.view_reading(words) for name, words in sets.items()}
    every = [word for words in viewed.values() for word in words]
    blanks = calibrator.view_reading(list(blank_images(args.blanks, args.seed)))
    fitted = calibrator.fit(every, blanks)
    errors = errors_of(calibrator, every, blanks, args.parts)
    print(table_of(errors))
    calibrated = (
        f"{', '.join(sets)}; the errors are of {args.parts} parts, each measured with the others' "
        f"fit, the mean over {PARTITIONS} ways to part the words"
    )
    values = {"temperature": float(model.hparams.get("temperature", 1.0)), **fitted.hparams()}
    store(path, values, {"calibration_error": errors, "calibrated_on": calibrated})
    print(f"{path}: {', '.join(f'{name} {value}' for name, value in values.items())}")


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


def store(path: Path, values: Mapping[str, Any], card: Mapping[str, Any]) -> None:
    """Write hyper-parameters and what a card says into a model's file, and its graph anew if it has
    one: that knows the calibration, too.
    """
    from strhub.checkpoint.formats import read_checkpoint, write_checkpoint

    checkpoint = read_checkpoint(path)
    hparams, card = {**checkpoint.hparams, **values}, {**checkpoint.card, **card}
    write_checkpoint(path, checkpoint._replace(hparams=hparams, card=card))
    if path.with_suffix(".onnx").exists():
        from strhub.export import export_beside

        export_beside(path)
