"""Copy the records of a tree to tar shards in WebDataset's layout, for streaming."""

from __future__ import annotations

import argparse
import io
import json
import re
import sys
import tarfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from strhub.utils.files import replacing, write_whole
from strhub.utils.json_text import load_json
from strhub.utils.locks import locked
from strhub.utils.progress import progress
from strhub.utils.regular_files import read_regular_text
from strhub.utils.terminal import printable

if TYPE_CHECKING:
    from strhub.data.curation.reshaping import Locations

NUMBER = r"%0?\d*d"  # in the shards' name

SUFFIX_OF = {
    "JPEG": "jpg",
    "TIFF": "tif",
    "JPEG2000": "jp2",
}  # of the others, the name in lower case


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `shard`."""
    parser.add_argument("input", type=Path, help="LMDB folder, or a tree of them")
    parser.add_argument("output", type=Path, help="shards to write, such as shards/words-%%06d.tar")
    parser.add_argument("--per_shard", type=int, default=10_000, help="records per shard")
    parser.add_argument("--overwrite", action="store_true", help="replace existing shards")


def run(arguments: argparse.Namespace) -> None:
    """Copy, say how many. What a stopped run has finished stays, and the same command resumes from
    there.
    """
    from strhub.cli.data_commands.filter import print_outcome

    folder, pattern = arguments.output.parent, arguments.output.name
    if len(re.findall(NUMBER, pattern)) != 1 or pattern.count("%") != 1:
        raise ValueError(
            f"{arguments.output}: the name must hold one %06d, which becomes each shard's number"
        )
    if arguments.per_shard < 1:
        raise ValueError(f"--per_shard must be at least 1, not {arguments.per_shard}")
    sizes, dropped = write_shards(
        arguments.input,
        folder,
        pattern,
        per_shard=arguments.per_shard,
        overwrite=arguments.overwrite,
    )
    print_outcome(folder, sum(sizes.values()), dropped)
    print(f"{len(sizes)} shards: data.shards={folder / re.sub(NUMBER, '*', pattern)}")


def write_shards(
    tree: Path, folder: Path, pattern: str, *, per_shard: int, overwrite: bool = False
) -> tuple[dict[str, int], Counter[str]]:
    """Write all records of a tree to tars named by `pattern` (with a %06d), and how many each has
    to `sizes.json`.

    A shard appears under its name once it is complete. Returns how many records each has, and how
    many were left out by reason.

    Raises:
        ValueError: if there are such shards that no unfinished run like this one has made, unless
            `overwrite`, or if another process is writing shards to the folder.
    """
    import numpy as np

    from strhub.data.curation.reshaping import Locations
    from strhub.data.curation.scan import scan

    scanned = scan(tree, read_images=False, progress=sys.stderr.isatty())
    for path, problem in scanned.damaged:
        print(printable(f"left out: {path}: {problem}"), file=sys.stderr)
    locations = Locations(scanned, np.arange(len(scanned.records)))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with locked(folder / ".shards.lock"):
            return _write_shards(
                locations, folder, pattern, per_shard=per_shard, overwrite=overwrite
            )
    except BlockingIOError as error:
        raise ValueError(
            f"another process is writing shards to {folder}: wait for it, or choose another folder"
        ) from error


def _write_shards(
    locations: Locations, folder: Path, pattern: str, *, per_shard: int, overwrite: bool
) -> tuple[dict[str, int], Counter[str]]:
    from strhub.data.sources.tar import SIZES

    names = [pattern % number for number in range(-(-len(locations) // per_shard))]
    notes = Notes(
        folder / f".{pattern.replace('%', '')}.progress", f"{locations.fingerprint()} {per_shard}"
    )
    if not notes.resumed:
        _make_room(folder, pattern, overwrite=overwrite)
        notes.save()
    for number, name in progress(enumerate(names), "shards", total=len(names)):
        if name not in notes.sizes or not (folder / name).exists():
            indexes = range(number * per_shard, min((number + 1) * per_shard, len(locations)))
            notes.add(name, *_write_shard(folder / name, locations, indexes))
    write_whole(folder / SIZES, json.dumps(_stored(folder / SIZES) | notes.sizes, indent=1))
    notes.path.unlink()
    return notes.sizes, notes.dropped


class Notes:
    """How far a run has come, kept in a file beside the shards until it is complete."""

    def __init__(self, path: Path, fingerprint: str) -> None:
        stored = _stored(path)
        self.path, self.fingerprint = path, fingerprint
        self.resumed = stored.get("fingerprint") == fingerprint
        self.sizes: dict[str, int] = stored["sizes"] if self.resumed else {}
        self.dropped: Counter[str] = Counter(stored["dropped"] if self.resumed else {})

    def add(self, name: str, size: int, dropped: Counter[str]) -> None:
        """Note a finished shard."""
        self.sizes[name] = size
        self.dropped += dropped
        self.save()

    def save(self) -> None:
        """Save to the file."""
        write_whole(
            self.path,
            json.dumps(
                {"fingerprint": self.fingerprint, "sizes": self.sizes, "dropped": self.dropped}
            ),
        )


def _make_room(folder: Path, pattern: str, *, overwrite: bool) -> None:
    """Remove all shards of that name: were there more of them than now, the rest would be taken for
    new ones.
    """
    before, after = map(re.escape, re.split(NUMBER, pattern))
    for path in sorted(folder.iterdir()):
        if re.fullmatch(f"{before}[0-9]+{after}", path.name):
            if not overwrite:
                raise ValueError(
                    f"{path} already exists: choose another name, or ask for it to be overwritten"
                )
            path.unlink()


def _write_shard(path: Path, locations: Locations, indexes: range) -> tuple[int, Counter[str]]:
    """Return how many records were written, and left out by reason."""
    from strhub.data.curation.reshaping import Copy
    from strhub.data.curation.writer import SkippedRecord

    copy, written, dropped = Copy(), 0, Counter[str]()
    # The plainest of tar's formats, and no times or owners: the same records give the same bytes.
    plain = tarfile.USTAR_FORMAT
    with replacing(path) as partial, tarfile.open(partial, "w", format=plain) as tar:
        for index in indexes:
            try:
                for encoded, label, *_ in copy(locations[index]):
                    suffix = _suffix(encoded)
                    for name, content in (
                        (f"{index:09d}.{suffix}", encoded),
                        (f"{index:09d}.txt", label.encode()),
                    ):
                        member = tarfile.TarInfo(name)
                        member.size = len(content)
                        tar.addfile(member, io.BytesIO(content))
                    written += 1
            except SkippedRecord as error:
                dropped[error.reason] += 1
    return written, dropped


def _suffix(encoded: bytes) -> str:
    from strhub.data.curation.writer import SkippedRecord
    from strhub.images.open import FORMATS

    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
            form = image.format or ""
    except Exception as error:  # Pillow's decoders raise many classes of errors
        raise SkippedRecord(str(error), "unreadable") from error
    return SUFFIX_OF.get(form, form.lower())


def _stored(path: Path) -> dict[str, Any]:
    """Return what a JSON file holds; nothing if it isn't there or is damaged."""
    try:
        stored = load_json(read_regular_text(path))
    except (OSError, ValueError):
        return {}
    return stored if isinstance(stored, dict) else {}
