"""Words written to LMDB by worker processes, in order; a run that was stopped resumes where it was.

In: jobs, and a function that turns one job into records. Out: an LMDB folder in the format of
`strhub.data.sources.lmdb`. It is built in a hidden folder beside its place, `.<name>.partial`, and
renamed when it is complete, so that there is always the old LMDB, the new one or none. How far a
run has come is stored together with its records.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from strhub.data.curation.write_report import (
    MAX_PROBLEMS,
    NothingWritten,
    SkippedRecord,
    WriteReport,
)
from strhub.data.sources.lmdb import (
    MAX_SAMPLES,
    NUM_SAMPLES,
    LmdbFile,
    LmdbWriter,
    image_key,
    is_lmdb,
    label_key,
    replace_lmdb,
    soft_key,
)
from strhub.data.sources.soft_labels import SoftLabel, store_soft_label
from strhub.utils.json_text import load_json
from strhub.utils.locks import locked
from strhub.utils.workers import Failure, run_in_order

__all__ = ["NothingWritten", "Record", "SkippedRecord", "WriteReport", "lock_of", "write_words"]

Job = TypeVar("Job")
Record = tuple[bytes, str] | tuple[bytes, str, SoftLabel]
"""An encoded image file, such as PNG or JPEG, its label, and what else it may say, if anything."""
Outcome = tuple[
    list[tuple[bytes, bytes, bytes]], tuple[str, str] | None
]  # of a job: image, label and soft label, or b"", of each record; reason and message if skipped

MAP_SIZE: Final = 1 << 26  # bytes at first; doubled whenever they do not suffice
COMMIT_SECONDS: float = 1.0  # at most this much work is lost when a run is killed
COMMIT_BYTES: Final = 1 << 25  # and at most this much is held in memory
PROGRESS: Final = b"partial-progress"  # how far the run has come; gone from a complete LMDB


def write_words(
    folder: str | Path,
    jobs: Sequence[Job],
    work: Callable[[Job], Iterable[Record]],
    *,
    fingerprint: str,
    workers: int = 1,
    overwrite: bool = False,
    progress: bool | None = None,
) -> WriteReport:
    """Write the records of all jobs, in the order of the jobs, to an LMDB folder.

    Args:
        folder: the folder to make, with those above it; it may exist if it is empty.
        jobs: what there is to do, indexable; with several workers each must be picklable.
        work: gives the records of a job, none, one or several; with several workers it must be
            picklable. It may raise `SkippedRecord`: the records it gave before stay. Any other
            error ends the run.
        fingerprint: of the inputs and options: what a killed run with the same one has written is
            kept and gone on with; with another one, everything begins anew.
        workers: processes that work; with 1, this process does. They are spawned, so a script needs
            the usual `if __name__ == "__main__"`.
        overwrite: replace an existing LMDB; it stays as it is until the new one is complete.
        progress: show a bar on stderr; None: if stderr is a terminal.

    Raises:
        ValueError: if the folder exists and may not be replaced, another process is writing it,
            there is no room, a worker died, or no job gave a record (`NothingWritten`). Whatever
            was written is kept for the next run.
        KeyboardInterrupt: with a message about what is kept.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}")
    target = Path(os.path.realpath(folder))
    with _explained_errors(target), locked(lock_of(target)):
        _check_target(target, overwrite=overwrite)
        with _Partial(target, fingerprint, len(jobs)) as partial:
            try:
                _run(
                    partial,
                    jobs,
                    work,
                    workers,
                    sys.stderr.isatty() if progress is None else progress,
                )
            except KeyboardInterrupt as error:
                kept = (
                    f"stopped; {partial.written} records are kept, and the same command resumes "
                    "from there"
                )
                raise KeyboardInterrupt(kept) from error
            report = partial.finish()
        if not report.written:
            shutil.rmtree(partial.path)
            first = f"; the first: {report.problems[0]}" if report.problems else ""
            raise NothingWritten(
                f"nothing to write to {folder}: {len(jobs)} inputs gave no record{first}", report
            )
        replace_lmdb(partial.path, target)
    return report


def lock_of(folder: str | Path) -> Path:
    """Return the lock that whoever writes an LMDB folder holds."""
    target = Path(os.path.realpath(folder))
    return target.with_name(f".{target.name}.lock")


def _run(
    partial: _Partial,
    jobs: Sequence[Job],
    work: Callable[[Job], Iterable[Record]],
    workers: int,
    progress: bool,
) -> None:
    start = partial.jobs_done
    pending = (jobs[index] for index in range(start, len(jobs)))
    outcomes = run_in_order(
        _Recorder(work), pending, workers=min(workers, max(1, len(jobs) - start))
    )
    with closing(outcomes):
        for outcome in (
            _with_bar(outcomes, start, len(jobs), partial.name) if progress else outcomes
        ):
            partial.add(outcome)


def _with_bar(outcomes: Iterable[Outcome], start: int, count: int, name: str) -> Iterable[Outcome]:
    from tqdm import tqdm

    return tqdm(outcomes, initial=start, total=count, desc=name, unit="job")


class _Recorder:
    """`work` with its records as they are stored. An object and not a closure, for processes to be
    given it.
    """

    def __init__(self, work: Callable[[Any], Iterable[Record]]) -> None:
        self.work = work

    def __call__(self, job: Any) -> Outcome:
        records: list[tuple[bytes, bytes, bytes]] = []
        try:
            for image, label, *soft in self.work(job):
                records.append(
                    (image, _utf8(label), store_soft_label(soft[0]) if any(soft) else b"")
                )
        except SkippedRecord as error:
            return records, (error.reason, str(error))
        except (ValueError, MemoryError):
            raise
        except Exception as error:  # not unchanged, since it would be taken for an error of writing
            raise RuntimeError(f"{job!r}: {type(error).__name__}: {error}") from error
        return records, None


def _utf8(label: str) -> bytes:
    try:
        return label.encode("utf-8")
    except UnicodeEncodeError as error:
        raise SkippedRecord(
            f"label {label!r} holds half a character", "undecodable label"
        ) from error


class _Partial:
    """The unfinished LMDB: records wait in memory for the next transaction, which also stores how
    far it has come.
    """

    def __init__(self, target: Path, fingerprint: str, jobs: int) -> None:
        self.name, self.path, self.fingerprint = (
            target.name,
            target.with_name(f".{target.name}.partial"),
            fingerprint,
        )
        self.jobs_done = self.written = 0
        self.reasons: Counter[str] = Counter()
        self.problems: list[str] = []
        self._waiting: list[tuple[bytes, bytes]] = []
        self._bytes, self._committed = 0, time.monotonic()
        self._writer = self._resume(jobs) or self._begin()

    def __enter__(self) -> _Partial:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def add(self, outcome: Outcome) -> None:
        """Take the records of the next job."""
        records, skipped = outcome
        for image, label, soft in records:
            self.written += 1
            if self.written > MAX_SAMPLES:
                raise ValueError(
                    f"an LMDB of this format holds at most {MAX_SAMPLES} records: write several"
                )
            self._waiting += [(image_key(self.written), image), (label_key(self.written), label)]
            self._waiting += [(soft_key(self.written), soft)] if soft else []
            self._bytes += len(image)
        if skipped:
            self.reasons[skipped[0]] += 1
            self.problems += [skipped[1]] if len(self.problems) < MAX_PROBLEMS else []
        self.jobs_done += 1
        if self._bytes > COMMIT_BYTES or time.monotonic() - self._committed > COMMIT_SECONDS:
            self._commit([(PROGRESS, self._progress())])

    def finish(self) -> WriteReport:
        """Store what is left, the number of records, and no longer how far it has come."""
        self._commit([(NUM_SAMPLES, b"%d" % self.written)], delete=PROGRESS)
        return WriteReport(
            self.written, self.reasons.total(), tuple(self.problems), dict(self.reasons)
        )

    def _progress(self) -> bytes:
        names = ("fingerprint", "jobs_done", "written", "reasons", "problems")
        return json.dumps({name: getattr(self, name) for name in names}).encode()

    def _resume(self, jobs: int) -> LmdbWriter | None:
        """Open what an earlier run has left and take its place, if it did the same work."""
        with suppress(ValueError, KeyError, TypeError, OSError):
            # Not by LMDB itself, since a damaged file would end the process.
            stored = load_json(LmdbFile(self.path).get(PROGRESS) or b"null")
            if stored["fingerprint"] == self.fingerprint and stored["jobs_done"] <= jobs:
                writer = LmdbWriter(self.path, map_size=MAP_SIZE, create=False)
                self.jobs_done, self.written = stored["jobs_done"], stored["written"]
                self.reasons, self.problems = Counter(stored["reasons"]), stored["problems"]
                return writer
        return None

    def _begin(self) -> LmdbWriter:
        if self.path.exists():
            shutil.rmtree(self.path)
        self.path.mkdir()
        return LmdbWriter(self.path, map_size=MAP_SIZE)

    def _commit(self, more: list[tuple[bytes, bytes]], delete: bytes | None = None) -> None:
        self._writer.put(self._waiting + more, delete=delete)
        self._waiting, self._bytes, self._committed = [], 0, time.monotonic()


def _check_target(target: Path, *, overwrite: bool) -> None:
    if not target.exists():
        return
    if is_lmdb(target):
        if not overwrite:
            raise ValueError(
                f"{target} already exists: choose another name, or ask for it to be overwritten"
            )
    elif not target.is_dir() or any(target.iterdir()):
        raise ValueError(
            f"{target} exists and is not an LMDB folder, so it is not replaced: choose another name"
        )


@contextmanager
def _explained_errors(target: Path) -> Iterator[None]:
    """Turn errors of the disk, of LMDB and of worker processes into one that says what to do."""
    kept = "What was written is kept, and the same command resumes from there"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BlockingIOError as error:
        raise ValueError(
            f"{target} is being written by another process: wait for it, or choose another name"
        ) from error
    except OSError as error:
        raise ValueError(
            f"{target} can't be written: {error}. {kept} once there is room and access"
        ) from error
    except Failure as error:
        raise ValueError(f"{target} is not complete: {error}. {kept}") from error
