"""What `test.py` does beyond the table of a bare network: other readers and sets, files, pages,
comparisons.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strhub.cli.arguments import SEARCH, read_arguments
from strhub.cli.extras import needs
from strhub.cli.scored_readers import EXPORTED, TABLE, _reader, _tables, of_reader
from strhub.utils.progress import progress

if TYPE_CHECKING:
    from strhub.data.sources.word_sets import WordSet
    from strhub.evaluation.scoring import Evaluation

__all__ = ["FURTHER", "add_arguments", "is_wanted", "run_scoring"]

RESULTS = "results.json"  # of a reader that has been scored before
FURTHER = ("union14m", "long")
"""Protocols whose sets are scored where they are there."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for reports, comparisons and readers."""
    more = parser.add_argument_group("reports, comparisons and readers")
    more.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="folder to write every reading, results.json and report.html to",
    )
    more.add_argument(
        "--compare",
        nargs="+",
        default=[],
        metavar="READER",
        help="further readers to score and compare with: models, predictions (.tsv), folders that "
        "--output wrote; name=READER sets the name that is shown",
    )
    more.add_argument(
        "--predictions",
        metavar="FILE",
        help="score another program's readings: a .tsv file of image, text and confidence",
    )
    more.add_argument(
        "--charset",
        help="characters that count: 36, 62, 94, own (the model's), a name in configs/charset, or "
        "@FILE; by default as --cased and --punctuation say",
    )
    more.add_argument(
        "--reader",
        action="store_true",
        help="read as read.py does, with re-reading and rotation of tall images; always so for "
        ".onnx",
    )
    read_arguments(more, "turn_tall", "reread_below")
    read_arguments(parser, *SEARCH)


def is_wanted(args: argparse.Namespace, parser: argparse.ArgumentParser, model: str | None) -> bool:
    """Return whether more than the table of a bare network on folders of the data root is asked
    for.
    """
    names = ("output", "compare", "predictions", "charset", *of_reader())
    changed = any(getattr(args, name) != parser.get_default(name) for name in names)
    paths = any(
        not _in_root(args.data_root / "test", name) and _is_path(name) for name in args.sets or []
    )
    return changed or paths or model is None or Path(model).suffix in EXPORTED


def run_scoring(
    args: argparse.Namespace,
    parser: argparse.ArgumentParser,
    model: str | None,
    options: Sequence[str],
) -> str:
    """Score and return the tables. Raises `ValueError` for bad arguments, words or readings."""
    with needs("eval"):
        import jinja2  # noqa: F401
        import rapidfuzz  # noqa: F401

        if args.output:
            import pyarrow  # noqa: F401
    readers = [
        *([model] if model else []),
        *([args.predictions] if args.predictions else []),
        *args.compare,
    ]
    if model and args.predictions:
        raise ValueError(
            "--predictions stands for the model: leave one out, or compare them with --compare"
        )
    if not readers:
        parser.error("give a model, --predictions or --compare with what is to be scored")
    if args.compare and len(readers) < 2:
        raise ValueError("--compare needs a second reader, or a model before it")
    if len(readers) > 1 and not args.output:
        raise ValueError("--compare needs --output, the folder for the results and the page")
    scored = [Path(_named(reader)[1]) for reader in readers]
    asked: list[str] = []
    if not args.sets and all((folder / RESULTS).is_file() for folder in scored):
        sets = _sets_of(scored[0])
    else:
        asked, sets = _sets(args)
    with ExitStack() as stack:
        several = len(readers) > 1
        evaluations, parts = [], []
        charset: str | None = None
        for reader in readers:
            name, source = _named(reader)
            folder = args.output / _folder_name(name) if several else args.output
            own_options = options if source == model else []
            found, charset = _evaluate(
                args, parser, stack, source, name, sets, own_options, folder, charset
            )
            evaluations.append(found)
            parts.append(_tables(args, found, asked))
        if several:
            parts.append(_compare(evaluations, sets, args.output))
    if args.output:
        parts.append(f"written to {args.output}")
    return "\n\n".join(parts)


def _evaluate(
    args: argparse.Namespace,
    parser: argparse.ArgumentParser,
    stack: ExitStack,
    source: str,
    name: str,
    sets: Sequence[WordSet],
    options: Sequence[str],
    folder: Path | None,
    charset: str | None,
) -> tuple[Evaluation, str]:
    """Return a reader's results, and the charset that they are in; the first reader's is that of
    all.
    """
    from strhub.evaluation.report.writing import write_pages
    from strhub.evaluation.results.provenance import read_results
    from strhub.evaluation.scoring import score, summarize

    if (Path(source) / RESULTS).is_file():  # it has been scored before
        before = read_results(source)
        return summarize(
            source, charset=before["charset"], reader={**before["reader"], "name": name}
        ), (charset or before["charset"])
    reader, own, maps = _reader(args, parser, stack, source, name, options)
    charset = charset or _charset(args, own)
    if folder is not None:
        _check_folder(folder)
    others = [own] if own and args.charset is None and frozenset(own) != frozenset(charset) else []
    found = score(
        reader, sets, charset=charset, other_charsets=others, output=folder, progress=_progress
    )
    if source.endswith(TABLE):
        reader.predictions.check_all_used()
    if not any(score.samples for by_name in found.scores.values() for score in by_name.values()):
        raise ValueError(
            f"no word of {', '.join(one.name for one in sets)} can be scored: no label has one of "
            f"the {len(charset)} "
            "tested characters"
        )
    if folder is not None:
        command = [Path(sys.argv[0]).name, *sys.argv[1:]] if sys.argv else []
        write_pages(found, sets, folder, command=command, maps=maps)
    return found, charset


def _sets_of(folder: Path) -> list[WordSet]:
    """Return the sets that were scored before, as far as they are where they were."""
    from strhub.data.sources.word_sets import is_set, open_set
    from strhub.evaluation.results.provenance import read_results

    paths = {name: one.get("path", "") for name, one in read_results(folder)["sets"].items()}
    return [open_set(path, name) for name, path in paths.items() if path and is_set(path)]


def _compare(evaluations: Sequence[Evaluation], sets: Sequence[WordSet], output: Path) -> str:
    from strhub.evaluation.comparing import compare
    from strhub.evaluation.report.compare_page import compare_page, comparison_text
    from strhub.utils.files import write_whole

    comparison = compare(evaluations)
    output.mkdir(parents=True, exist_ok=True)
    write_whole(output / "compare.html", compare_page(comparison, evaluations, sets))
    return comparison_text(comparison)


def _sets(args: argparse.Namespace) -> tuple[list[str], list[WordSet]]:
    """Return the protocols asked for and the sets to score."""
    from strhub.data.sources.word_sets import is_set, open_set
    from strhub.evaluation.report import protocols

    root, named = args.data_root / "test", list(args.sets or [])
    asked = [*([] if named else ["subset", "full"]), *(["new"] if args.new else [])]
    found: list[WordSet] = []
    for name in named:
        if _in_root(root, name) or not _is_path(name):
            if not (root / name).exists():
                raise ValueError(f"--sets: there is neither {root / name} nor {name}")
            found.append(open_set(root / name, name))
        else:
            short = Path(name.rstrip("/")).name
            taken = any(short == Path(other.rstrip("/")).name for other in named if other != name)
            found.append(open_set(name, name if taken else short))
    others = [] if named else [*FURTHER]
    listed = [name for protocol in [*asked, *others] for name in protocols()[protocol]]
    found += [open_set(root / name, name) for name in dict.fromkeys(listed) if is_set(root / name)]
    if not found:
        raise ValueError(
            f"none of {', '.join(dict.fromkeys(listed))} is in {root}: set --data_root, or name "
            "other folders there or "
            "paths with --sets; Datasets.md shows the layout"
        )
    present = {one.name for one in found}
    return [*asked, *(one for one in others if present & set(protocols()[one]))], found


def _charset(args: argparse.Namespace, own: str | None) -> str:
    from strhub.evaluation.charsets import charset_named, charset_of

    if args.charset is None:
        return charset_of(cased=args.cased, punctuation=args.punctuation)
    if args.cased or args.punctuation:
        raise ValueError("--charset sets all characters: leave out --cased and --punctuation")
    if args.charset == "own":
        if own is None:
            raise ValueError(
                "--charset own needs a model: predictions do not say which characters they are of"
            )
        return own
    return charset_named(args.charset)


def _named(reader: str) -> tuple[str, str]:
    """Return name and source of what is written as `name=source`, or as the source alone."""
    name, equals, source = reader.partition("=")
    if equals and name != "pretrained" and name.replace("-", "_").replace(".", "_").isidentifier():
        return name, source
    source = reader.removeprefix("pretrained=")
    path = Path(source)
    return (path.name if path.is_dir() else source), source


def _folder_name(name: str) -> str:
    return (
        "".join(one if one.isalnum() or one in "-._" else "-" for one in name).strip(".-")
        or "reader"
    )


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file: --output names a folder")
    if not folder.is_dir() or (folder / "samples.tsv").exists():
        return
    if any(not item.name.startswith(".") for item in folder.iterdir()):
        raise ValueError(
            f"{folder} contains something other than results: choose an empty or a new folder"
        )


def _in_root(root: Path, name: str) -> bool:
    return not Path(name).is_absolute() and (root / name).exists()


def _is_path(name: str) -> bool:
    return Path(name).exists() or name.endswith((".tar", ".tgz", ".tar.gz"))


def _progress(words: Iterable[Any], name: str) -> Iterator[Any]:
    return progress(words, f"words of {name}")
