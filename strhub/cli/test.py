"""`test.py`: a model's scores on the benchmarks below a data folder."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from strhub.cli.arguments import (
    SPEED,
    data_root_argument,
    device_argument,
    model_options,
    read_arguments,
    split_words,
)
from strhub.cli.entry import end_with
from strhub.cli.extras import needs
from strhub.cli.program import command_parser, program, version_argument
from strhub.cli.scoring import FURTHER, add_arguments, is_wanted, run_scoring
from strhub.cli.test_photos import photo_arguments, run_photos
from strhub.utils.progress import progress

if TYPE_CHECKING:
    from strhub.data.module import SceneTextDataModule

EXAMPLES = """examples:
  ./test.py outputs/parseq/last.ckpt                        36 characters: digits and lower case
  ./test.py pretrained=parseq --cased --punctuation         all 94 characters
  ./test.py pretrained=strhub-tiny refine_iters:int=2 decode_ar:bool=false
  ./test.py strhub-small --reader --sets data/val/IC15 --output report/
  ./test.py strhub-small --reader --compare words.onnx other=predictions.tsv --output report/
  ./test.py --photos street/ --html errors.html             whole photographs"""


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of test.py."""
    parser = command_parser(
        "test",
        "Score a model, a reader or another program's predictions on the benchmarks that are "
        "present in <data_root>/test, or on any other sets.",
        EXAMPLES,
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="model | name:type=value",
        help="id or path of a model, and its options, such as refine_iters:int=2",
    )
    data_root_argument(parser)
    parser.add_argument("--batch_size", type=int, default=512, help="images per batch")
    workers = min(4, os.cpu_count() or 1)
    parser.add_argument(
        "--num_workers", type=int, default=workers, help="processes that load images"
    )
    parser.add_argument("--cased", action="store_true", help="distinguish upper and lower case")
    parser.add_argument("--punctuation", action="store_true", help="count punctuation")
    parser.add_argument("--new", action="store_true", help="score ArT, COCOv1.4 and Uber, too")
    parser.add_argument(
        "--rotation",
        type=int,
        default=0,
        metavar="DEGREES",
        help="rotate every image counter-clockwise",
    )
    parser.add_argument(
        "--sets",
        nargs="+",
        metavar="NAME",
        help="sets to score in place of the benchmarks: folders of <data_root>/test, other "
        "folders, .tar files",
    )
    device_argument(parser)
    read_arguments(parser, *SPEED)
    photo_arguments(parser)
    add_arguments(parser)
    version_argument(parser, "test")
    return parser


def run(arguments: Sequence[str] | None = None) -> str:
    """Score and return the tables. Raises `ValueError` for bad arguments or missing data."""
    parser = build_parser()
    args = parser.parse_intermixed_args(arguments)
    written, models = split_words(args.words)
    if args.photos:
        return _run_photos(parser, args, models, written)
    for name in ("truth", "detection", "html", "results"):
        if getattr(args, name) is not None:
            raise ValueError(f"--{name} is for whole photographs: set their folder by --photos")
    misplaced, args.sets = split_words(args.sets or [])  # options may stand behind --sets, too
    if len(models) > 1:
        raise ValueError(
            f"one model at a time, not {' and '.join(models)}: --compare takes further ones"
        )
    checkpoint = models[0] if models else None
    if checkpoint is None or is_wanted(args, parser, checkpoint):
        return run_scoring(args, parser, checkpoint, [*written, *misplaced])
    options = model_options([*written, *misplaced])
    return _score_network(args, checkpoint, options)


def _score_network(args: argparse.Namespace, checkpoint: str, options: Mapping[str, Any]) -> str:
    """Score a bare network, as the tables of the field are made, and return them."""
    with needs("eval"):
        from strhub.checkpoint.zoo import load_from_checkpoint
        from strhub.inference.torch_engine import TorchEngine

    model = load_from_checkpoint(checkpoint, **options)  # before what takes seconds to import
    with needs("eval"):
        from strhub.data.module import SceneTextDataModule
        from strhub.evaluation.charsets import charset_of
        from strhub.evaluation.evaluate import any_samples, evaluate_in
        from strhub.evaluation.report import format_own, format_protocols
    from strhub.images.options import image_options

    data = SceneTextDataModule(
        root_dir=args.data_root,
        train_dir="",
        max_label_length=model.hparams.max_label_length,
        charset_train=model.hparams.charset_train,
        batch_size=args.batch_size,
        num_workers=args.num_workers,
        rotation=args.rotation,
        **image_options(model.hparams),
    )
    asked, names, present = _scored_sets(args, data)
    engine = TorchEngine(
        model,
        device=args.device,
        threads=args.threads,
        precision=args.precision,
        compile=args.compile,
    )
    tested = charset_of(cased=args.cased, punctuation=args.punctuation)
    own = model.hparams.charset_train
    charsets = [tested] if frozenset(own) == frozenset(tested) else [tested, own]
    scores = evaluate_in(
        engine.model, data, present, charsets, device=engine.device, progress=_progress
    )
    if not any_samples(scores):
        raise ValueError(
            f"no word of {', '.join(present)} can be scored: no label has one of the {len(tested)} "
            "tested "
            f"characters or of the model's own {len(own)}"
        )
    head = f"{checkpoint}, computed in {engine.precision} on {engine.device}"
    tables = [head, format_protocols(scores[tested], asked, args.sets)]
    return "\n\n".join([*tables, *(format_own(scores[own], own, names) for _ in charsets[1:])])


def _scored_sets(
    args: argparse.Namespace, data: SceneTextDataModule
) -> tuple[list[str], list[str], list[str]]:
    """Return the protocols that are asked for, the names of their sets and of others, and those of
    them that are there; `ValueError` if none is.
    """
    from strhub.evaluation.report import protocols

    asked = [*([] if args.sets else ["subset", "full"]), *(["new"] if args.new else [])]
    names = list(
        dict.fromkeys([*args.sets, *(name for protocol in asked for name in protocols()[protocol])])
    )
    present = data.present_test_sets(names)
    if not args.sets:  # further protocols, where there is any of their sets
        for protocol in FURTHER:
            if further := data.present_test_sets(protocols()[protocol]):
                asked.append(protocol)
                names += protocols()[protocol]
                present += further
    if not present:
        raise ValueError(
            f"none of {', '.join(names)} is in {args.data_root / 'test'}: set --data_root, "
            "or name other folders there with --sets; Datasets.md shows the layout"
        )
    return asked, names, present


def _run_photos(
    parser: argparse.ArgumentParser,
    args: argparse.Namespace,
    models: list[str],
    options: Sequence[str],
) -> str:
    usable = ("words", "photos", "truth", "detection", "html", "results", "threads")
    for name, value in vars(args).items():
        if name not in usable and value not in (parser.get_default(name), []):
            raise ValueError(f"--{name} has no effect with --photos")
    if options:
        raise ValueError(f"{options[0]} has no effect with --photos")
    return run_photos(args, models)


def _progress(batches: Iterable[Any], name: str) -> Iterable[Any]:
    return progress(batches, f"batches of {name}")


def main() -> None:
    """Run the command; errors are one clear line, Ctrl-C is no traceback."""
    end_with(program("test"), run)


if __name__ == "__main__":
    main()
