"""Writing LMDB by jobs: order, going on after any end, and never half an LMDB under its name."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import lmdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strhub.data.curation import writer
from strhub.data.curation.writer import NothingWritten, Record, SkippedRecord, write_words
from strhub.data.sources.lmdb import find_lmdbs, write_lmdb

POSIX = pytest.mark.skipif(os.name != "posix", reason="the signal is POSIX's")


def contents(folder: Path) -> dict[bytes, bytes]:
    with (
        lmdb.open(str(folder), readonly=True, lock=False) as environment,
        environment.begin() as transaction,
    ):
        return dict(transaction.cursor())


def expected(records: list[Record]) -> dict[bytes, bytes]:
    found = {b"num-samples": b"%d" % len(records)}
    for number, (original, label) in enumerate(records, 1):
        found |= {b"image-%09d" % number: original, b"label-%09d" % number: label.encode()}
    return found


def as_it_is(records: list[Record]) -> list[Record]:
    return records


def numbered(number: int) -> Iterator[Record]:
    """No, one or two records, and sometimes none at the end."""
    rng = Random(number)
    for part in range(number % 3):
        yield rng.randbytes(rng.randrange(3000)), f"w{number}.{part}"
    if number % 7 == 0:
        raise SkippedRecord(f"input {number} is no good", "seven")


def write_numbered(
    folder: Path, count: int = 150, workers: int = 1, **options: bool
) -> writer.WriteReport:
    return write_words(folder, range(count), numbered, fingerprint="a", workers=workers, **options)


def all_numbered(count: int = 150) -> list[Record]:
    found = []
    for number in range(count):
        try:
            for record in numbered(number):
                found.append(record)
        except SkippedRecord:
            pass
    return found


class Calls:
    """`numbered`, with a note of what was asked for and an error at one place."""

    def __init__(self, fail_at: int = -1, error: BaseException | None = None) -> None:
        self.fail_at, self.error, self.seen = fail_at, error, list[int]()

    def __call__(self, number: int) -> Iterator[Record]:
        self.seen.append(number)
        if number == self.fail_at and self.error:
            raise self.error
        return numbered(number)


def die(number: int) -> Iterator[Record]:
    if number == 40 and not os.environ.get("STRHUB_TEST_LIVE"):
        os.kill(os.getpid(), signal.SIGKILL)
    return numbered(number)


class Awkward(Exception):
    """One that can't be pickled back."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__("awkward")


def fail_awkwardly(number: int) -> Iterator[Record]:
    if number == 20:
        raise Awkward(1, 2)
    return numbered(number)


def fail_clearly(number: int) -> Iterator[Record]:
    if number >= 20:
        raise ValueError(f"font {number} is missing")
    return numbered(number)


# What is written


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.binary(max_size=200), st.text(max_size=8)), max_size=3), max_size=30
    )
)
def test_records_come_back_in_order(jobs: list[list[Record]]) -> None:
    records = [record for job in jobs for record in job]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "deep" / "words"
        if not records:
            with pytest.raises(NothingWritten):
                write_words(target, jobs, as_it_is, fingerprint="")
            assert not target.exists()
            return
        report = write_words(target, jobs, as_it_is, fingerprint="")
        assert (report.written, report.skipped, report.problems) == (len(records), 0, ())
        assert contents(target) == expected(records)
        assert [item.name for item in target.parent.iterdir()] == ["words"]


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_writes_the_same(tmp_path: Path, workers: int) -> None:
    report = write_numbered(tmp_path / "words", workers=workers)
    assert contents(tmp_path / "words") == expected(all_numbered())
    assert (report.written, report.skipped) == (len(all_numbered()), 22)
    assert report.problems == tuple(f"input {number} is no good" for number in range(0, 150, 7))
    assert report.reasons == {"seven": 22}


def test_half_a_character_is_skipped(tmp_path: Path) -> None:
    report = write_words(
        tmp_path / "words", [[(b"a", "fine")], [(b"b", "\ud800")]], as_it_is, fingerprint=""
    )
    assert (report.written, report.reasons) == (1, {"undecodable label": 1})
    assert report.problems == (r"label '\ud800' holds half a character",)


def test_problems_are_counted_beyond_those_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MAX_PROBLEMS", 5)
    report = write_numbered(tmp_path / "words")
    assert (report.skipped, len(report.problems)) == (22, 5)


def test_nothing_to_write_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(
        NothingWritten, match="1 inputs gave no record; the first: input 0 is no good"
    ) as caught:
        write_numbered(tmp_path / "words", 1)
    assert caught.value.report.reasons == {"seven": 1}
    assert list(tmp_path.iterdir()) == []


def test_map_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MAP_SIZE", 1 << 15)
    monkeypatch.setattr(writer, "COMMIT_BYTES", 1 << 13)
    write_numbered(tmp_path / "words", 400)
    assert contents(tmp_path / "words") == expected(all_numbered(400))


# What may be replaced


def test_refuses_what_is_there_and_replaces_it_when_asked(tmp_path: Path) -> None:
    write_lmdb(tmp_path / "words", [(b"old", "old")])
    (tmp_path / "words" / "lock.mdb").touch()
    old = contents(tmp_path / "words")
    with pytest.raises(ValueError, match=r"words already exists: .* overwritten"):
        write_numbered(tmp_path / "words")
    assert contents(tmp_path / "words") == old
    write_numbered(tmp_path / "words", overwrite=True)
    assert contents(tmp_path / "words") == expected(all_numbered())
    assert [item.name for item in (tmp_path / "words").iterdir()] == ["data.mdb"]
    assert [item.name for item in tmp_path.iterdir()] == ["words"]


def test_never_replaces_anything_but_an_lmdb(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    (tmp_path / "file").write_text("more")
    for name in ("thesis", "file"):
        with pytest.raises(ValueError, match="is not an LMDB folder, so it is not replaced"):
            write_numbered(tmp_path / name, overwrite=True)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"
    (tmp_path / "empty").mkdir()
    write_numbered(tmp_path / "empty")
    assert contents(tmp_path / "empty") == expected(all_numbered())


def test_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "words").symlink_to(tmp_path / "disk" / "words")
    write_numbered(tmp_path / "words")
    assert (tmp_path / "words").is_symlink()
    assert contents(tmp_path / "disk" / "words") == expected(all_numbered())


def test_the_old_stays_and_nothing_is_found_until_complete(tmp_path: Path) -> None:
    target, fresh = tmp_path / "old", tmp_path / "fresh"
    write_lmdb(target, [(b"old", "old")])
    old = contents(target)

    def work(number: int) -> Iterator[Record]:
        assert contents(target) == old
        assert find_lmdbs(tmp_path) == [target]
        return numbered(number)

    for folder in (target, fresh):
        write_words(folder, range(20), work, fingerprint="", overwrite=True)
        write_lmdb(tmp_path / "x", [(b"old", "old")])
        os.replace(tmp_path / "x" / "data.mdb", target / "data.mdb")
        (tmp_path / "x").rmdir()
    assert contents(fresh) == expected(all_numbered(20))


# Going on


@pytest.mark.parametrize("error", [ValueError("no font"), KeyboardInterrupt(), KeyError("odd")])
def test_goes_on_after_any_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    monkeypatch.setattr(writer, "COMMIT_SECONDS", -1)  # after every job
    first = Calls(90, error)
    kind = RuntimeError if isinstance(error, KeyError) else type(error)
    with pytest.raises(
        kind, match=r"no font|records are kept, and the same command resumes|90: KeyError: 'odd'"
    ):
        write_words(tmp_path / "words", range(150), first, fingerprint="a")
    assert not (tmp_path / "words").exists()
    assert find_lmdbs(tmp_path) == []
    second = Calls()
    report = write_words(tmp_path / "words", range(150), second, fingerprint="a")
    assert second.seen == list(range(90, 150)), "what is committed is not done again"
    assert contents(tmp_path / "words") == expected(all_numbered())
    assert report.problems == tuple(f"input {number} is no good" for number in range(0, 150, 7))
    assert [item.name for item in tmp_path.iterdir()] == ["words"]


@pytest.mark.parametrize("change", ["fingerprint", "fewer jobs", "cut short", "no LMDB", "emptied"])
def test_begins_anew_where_it_can_not_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr(writer, "COMMIT_SECONDS", -1)
    with pytest.raises(ValueError, match="stop"):
        write_words(tmp_path / "words", range(150), Calls(90, ValueError("stop")), fingerprint="a")
    file = tmp_path / ".words.partial" / "data.mdb"
    damage = {"cut short": file.read_bytes()[:20_000], "no LMDB": b"x" * 20_000, "emptied": b""}
    if change in damage:
        file.write_bytes(damage[change])
    count = 60 if change == "fewer jobs" else 150
    again = Calls()
    write_words(
        tmp_path / "words", range(count), again, fingerprint="b" if change == "fingerprint" else "a"
    )
    assert again.seen == list(range(count))
    assert contents(tmp_path / "words") == expected(all_numbered(count))


def test_killed_before_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_power(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(writer, "replace_lmdb", cut_power)
        with pytest.raises(KeyboardInterrupt):
            write_numbered(tmp_path / "words")
    assert find_lmdbs(tmp_path) == []
    write_numbered(tmp_path / "words")
    assert contents(tmp_path / "words") == expected(all_numbered())


DRIVER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from strhub.data.curation import writer
import test_writer
writer.COMMIT_SECONDS = 0.01
print("begins", flush=True)
def work(number):
    time.sleep(0.02)  # 3 s in all: what kills it is early, however busy the machine
    return test_writer.numbered(number)
writer.write_words(sys.argv[2], range(150), work, fingerprint="a", overwrite=True)
"""


@POSIX
@pytest.mark.parametrize("old", [False, True])
def test_killed_at_any_moment(tmp_path: Path, old: bool) -> None:
    target, rng, kills = tmp_path / "words", Random(old), 0
    if old:
        write_lmdb(target, [(b"old", "old")])
    before = contents(target) if old else None
    command = [sys.executable, "-c", DRIVER, str(Path(__file__).parent), str(target)]
    for _ in range(3):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(rng.random() * 0.15)
            process.kill()
        kills += process.returncode == -signal.SIGKILL
        assert (contents(target) if target.exists() else None) in (before, expected(all_numbered()))
    assert kills
    write_numbered(target, overwrite=True)
    assert contents(target) == expected(all_numbered())
    assert [item.name for item in tmp_path.iterdir()] == ["words"]


# Others


def test_second_writer_is_turned_away(tmp_path: Path) -> None:
    def work(number: int) -> Iterator[Record]:
        with pytest.raises(ValueError, match="words is being written by another process"):
            write_numbered(tmp_path / "words")
        return numbered(number)

    write_words(tmp_path / "words", range(4), work, fingerprint="a")
    assert contents(tmp_path / "words") == expected(all_numbered(4))


def test_one_of_many_writers_wins(tmp_path: Path) -> None:
    outcomes: list[str] = []
    barrier = threading.Barrier(4)

    def write() -> None:
        barrier.wait()
        try:
            write_numbered(tmp_path / "words")
            outcomes.append("written")
        except ValueError as error:
            outcomes.append(
                "busy" if "another process" in str(error) else str(error).partition(":")[0][-14:]
            )

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("written") == 1
    assert set(outcomes) <= {"written", "busy", "already exists"}
    assert contents(tmp_path / "words") == expected(all_numbered())
    assert [item.name for item in tmp_path.iterdir()] == ["words"]


HOLDER = "import sys, time; from strhub.utils.locks import locked; from pathlib import Path\n"
HOLDER += "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"


def test_lock_of_another_process_holds_until_it_dies(tmp_path: Path) -> None:
    lock = tmp_path / ".words.lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(lock)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match="is being written by another process"):
            write_numbered(tmp_path / "words")
        holder.kill()
    assert lock.exists(), "a dead owner has removed nothing"
    write_numbered(tmp_path / "words")
    assert [item.name for item in tmp_path.iterdir()] == ["words"]


@POSIX
def test_worker_that_is_killed_ends_the_run_clearly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        ValueError,
        match=r"a worker process ended \(exit status -9\).* fewer workers. .* resumes from",
    ):
        write_words(tmp_path / "words", range(150), die, fingerprint="a", workers=2)
    assert not (tmp_path / "words").exists()
    monkeypatch.setenv("STRHUB_TEST_LIVE", "1")
    write_words(tmp_path / "words", range(150), die, fingerprint="a", workers=2)
    assert contents(tmp_path / "words") == expected(all_numbered())


def test_errors_of_workers_are_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^font 20 is missing$"):
        write_words(tmp_path / "words", range(150), fail_clearly, fingerprint="a", workers=2)
    with pytest.raises(RuntimeError, match=r"a worker process failed:[\s\S]*20: Awkward: awkward"):
        write_words(tmp_path / "words", range(150), fail_awkwardly, fingerprint="a", workers=2)


ORPHANS = """
import sys, time
from strhub.utils.workers import run_in_order
for _ in run_in_order(time.sleep, [0.02] * 1000, workers=2):
    import multiprocessing
    print(*[child.pid for child in multiprocessing.active_children()], flush=True)
"""


@POSIX
def test_workers_end_with_the_process_that_started_them() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ORPHANS], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        children = [int(pid) for pid in process.stdout.readline().split()]
        assert len(children) == 2
        process.kill()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and any(_lives(pid) for pid in children):
        time.sleep(0.05)
    assert not any(_lives(pid) for pid in children)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(
        f"/proc/{pid}/stat"
    )  # one that has ended may still be listed, where nobody asks for its status
    return not (state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z")


FULL = """
import resource, sys
sys.path.insert(0, sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
from strhub.data.curation import writer
import test_writer
writer.COMMIT_SECONDS = -1
try:
    writer.write_words(sys.argv[2], range(150), test_writer.numbered, fingerprint="a")
except ValueError as error:
    print(error)
"""


@POSIX
def test_disk_that_is_full(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL, str(Path(__file__).parent), str(tmp_path / "words")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "words can't be written: " in done.stdout, done.stderr
    assert (
        "What was written is kept, and the same command resumes from there once there is room"
        in done.stdout
    )
    assert not (tmp_path / "words").exists()
    again = Calls()
    write_words(tmp_path / "words", range(150), again, fingerprint="a")
    assert 0 < len(again.seen) < 150
    assert contents(tmp_path / "words") == expected(all_numbered())


def test_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="can't be written"):
        write_numbered(tmp_path / "file" / "words")
    with pytest.raises(ValueError, match="workers must be at least 1, not 0"):
        write_numbered(tmp_path / "words", workers=0)
