"""Who reads the units: this process, or actors of Ray Data on one machine or a cluster.

Both write the same parts, and both can go on where the other was stopped.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final, Protocol

from strhub.bulk.inputs import Unit, find, images
from strhub.bulk.output import Row, check_job, count, failures, missing_units, write_part
from strhub.inference.reading import Reading
from strhub.inference.recognizer import EMBEDDED
from strhub.utils.locks import locked
from strhub.utils.options import warn_renamed

__all__ = ["ENGINES", "Summary", "read_all"]

log = logging.getLogger(__name__)

ENGINES: Final = ("plain", "ray")
# units per block; if an actor dies, its block is read again except for finished parts
BLOCKS: Final = 1000


class BatchReader(Protocol):
    """What `strhub.Recognizer` is to this module."""

    batch_size: int

    def __call__(self, inputs: Any) -> list[Reading]: ...


@dataclass(frozen=True)
class Summary:
    """What an output holds after a run, and what the run itself added: images, and seconds it
    took.
    """

    images: int
    unreadable: int
    added: int
    seconds: float

    @property
    def pictures(self) -> int:
        """Return `images` by its former name."""
        warn_renamed("pictures", "images")
        return self.images


def read_all(
    inputs: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    model: str | os.PathLike[str] = EMBEDDED,
    options: Mapping[str, Any] | None = None,
    engine: str = "plain",
    batch_size: int = 32,
    per_part: int = 2000,
    device: str | None = None,
    threads: int | None = None,
    workers: int | None = None,
    cpus: float = 1,
    gpus: float = 0,
    address: str | None = None,
    recognizer: Callable[[], BatchReader] | None = None,
    progress: Callable[[int], object] | None = None,
) -> Summary:
    """Read all images of the inputs that the output does not have yet.

    inputs: folders (all that is below them), LMDB data sets, Parquet files, tar shards, images,
        globs.
    output: a folder for Parquet files with `COLUMNS`; a row for every image, `error` set where it
        cannot be read, and for every input that cannot be opened.
    model, device, batch_size, threads: of `strhub.Recognizer`; options: all others of it, such as
        refine_iters or turn_tall. threads: None: all cores for `plain`, as many as a worker has
        CPUs for `ray`. recognizer: makes another reader instead, in each worker; give `model` a
        name for it. per_part: images a file, about; a tar is one part whatever its size. progress:
        called with how many images have been read so far: by `plain` after each batch, by `ray`
        at the start and after each part.
    engine: `plain`, here; `ray`, by `workers` actors (None: as many as fit) that take `cpus` and
        `gpus` each, on the cluster at `address` (None: on this machine). There the inputs and the
        output are on a disk that all share.

    A run that was stopped in any way is resumed by the same call; at most a part a worker is read
    again, and no image is in the output twice. Two runs at once on one output are an error.

    Raises:
        ValueError: if there is nothing to read, or the output holds something else.
        ImportError: without the packages of the extra `bulk`, or `tune` for Ray.
    """
    _check(engine, per_part=per_part, batch_size=batch_size, workers=workers)
    folder, began = Path(output), time.monotonic()
    found = find(inputs, without=folder)
    if not any(found.values()):
        raise ValueError(f"no images found in {', '.join(map(str, inputs))}")
    check_job(folder, {"format": 1, "model": _identity(model), "options": dict(options or {})})
    if engine == "ray" and threads is None:
        threads = max(1, int(cpus))  # with more threads, workers would wait for each other
    make = recognizer or _Maker(
        str(model),
        {"device": device, "batch_size": batch_size, "threads": threads, **(options or {})},
    )
    with _alone(folder):
        units, problems = missing_units(found, folder, per_part=per_part)
        failures(folder, problems)
        log.info("%s: %d parts to read", folder, len(units))
        if engine == "plain" or not units:
            added = sum(_reported(_read_here(units, make, folder, progress), len(units), began))
        else:
            from strhub.bulk.ray import read_units

            added = read_units(
                units,
                make,
                folder,
                workers=workers,
                cpus=cpus,
                gpus=gpus,
                address=address,
                report=lambda results: _reported(_shown(results, progress), len(units), began),
            )
        rows, unreadable = count(folder)
    return Summary(rows, unreadable, added, time.monotonic() - began)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the lock of an output; `ValueError` if another run has it."""
    try:
        with locked(folder / ".lock"):
            yield
    except BlockingIOError as error:
        raise ValueError(
            f"another process is reading to {folder}: wait for it, or choose another folder"
        ) from error


def _check(engine: str, **counts: int | None) -> None:
    if engine not in ENGINES:
        raise ValueError(f"there is no engine {engine!r}; known: {', '.join(ENGINES)}")
    for name, value in counts.items():
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}: it must be at least 1")


def read_unit(
    unit: Unit,
    reader: BatchReader,
    folder: Path,
    progress: Callable[[int], object] | None = None,
) -> int:
    """Read a unit's images and write its part; how many there were. Nothing if the part is
    there. progress: called with how many have been read.
    """
    if (folder / f"{unit.name}.parquet").exists():
        return 0
    rows: list[Row] = []
    remaining = images(unit)
    while batch := list(islice(remaining, reader.batch_size)):
        readable = [source.image for source in batch if source.image is not None]
        readings = iter(reader(readable) if readable else [])
        for source in batch:
            unread = Reading("", 0.0, error=source.error)
            rows.append((source.source, unread if source.image is None else next(readings)))
        if progress is not None:
            progress(len(rows))
    write_part(folder, unit.name, rows)
    return len(rows)


class _Maker:
    """Makes the recognizer where it is needed. A class, so that it can be sent to workers."""

    def __init__(self, model: str, options: Mapping[str, Any]) -> None:
        self.model, self.options = model, options

    def __call__(self) -> BatchReader:
        from strhub import Recognizer

        return Recognizer(self.model, **self.options)


def _read_here(
    units: Sequence[Unit],
    make: Callable[[], BatchReader],
    folder: Path,
    progress: Callable[[int], object] | None,
) -> Iterator[int]:
    """Read the units in this process; no recognizer is made if there is none. Yield how many images
    each had.
    """
    if units:
        reader = make()
        before = 0
        for unit in units:
            report = None if progress is None else partial(_count, progress, before)
            added = read_unit(unit, reader, folder, report)
            before += added
            yield added


def _shown(results: Iterator[int], progress: Callable[[int], object] | None) -> Iterator[int]:
    """Yield the same numbers of images; tell `progress` of their sum, at first of 0."""
    tell, added = progress or (lambda count: None), 0
    tell(added)
    for number in results:
        added += number
        tell(added)
        yield number


def _count(progress: Callable[[int], object], before: int, count: int) -> None:
    progress(before + count)


def _reported(results: Iterator[int], parts: int, began: float) -> Iterator[int]:
    """Yield the same items, and log a line every ten seconds."""
    added, said = 0, time.monotonic()
    for number, images_read in enumerate(results, 1):
        added += images_read
        if time.monotonic() - said >= 10 or number == parts:
            said = time.monotonic()
            log.info(
                "%d of %d parts, %d images, %.0f a second",
                number,
                parts,
                added,
                added / (said - began),
            )
        yield images_read


def _identity(model: str | os.PathLike[str]) -> str:
    """Return a model's name, and what is in its file if it is one."""
    path = Path(model)
    if not path.is_file():
        return str(model)
    return f"{path.name} sha256 {hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
