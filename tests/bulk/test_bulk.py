"""Reading very many images: every one once, whatever happens on the way."""

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bulk_support import SleepyReader, make_sleepy
from PIL import Image

pyarrow = pytest.importorskip("pyarrow", reason="the extra bulk is not installed")
from pyarrow import parquet  # noqa: E402

import strhub.bulk.parquet  # noqa: E402
from strhub.bulk import COLUMNS, read_all  # noqa: E402
from strhub.bulk.inputs import Span, Unit, find, images  # noqa: E402
from strhub.data.sources.lmdb import write_lmdb  # noqa: E402

ROOT = Path(__file__).parent.parent.parent


def encoded(number: int) -> bytes:
    """An image that `SleepyReader` reads as this number."""
    buffer = BytesIO()
    Image.fromarray(np.full((4, 8, 3), (number // 256, number % 256, 7), np.uint8)).save(
        buffer, "PNG"
    )
    return buffer.getvalue()


def numbers(*spans: range) -> list[str]:
    return sorted(str(number) for span in spans for number in span)


def table(output: Path) -> list[dict[str, Any]]:
    return [
        row
        for path in sorted(output.glob("*.parquet"))
        for row in parquet.read_table(path).to_pylist()
    ]


def texts(output: Path) -> list[str]:
    return sorted(row["text"] for row in table(output) if row["error"] is None)


def write_tar(path: Path, members: Sequence[tuple[str, bytes]]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, BytesIO(content))


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """Numbers 0 to 99 in files, 100 to 199 in an LMDB, 200 to 299 in Parquet, 300 to 349 in a tar,
    and some damage.
    """
    root = tmp_path / "in"
    (root / "deep/er").mkdir(parents=True)
    for number in range(100):
        (root / ("deep/er" if number % 2 else "deep") / f"{number:03d}.png").write_bytes(
            encoded(number)
        )
    (root / "deep" / "cut.png").write_bytes(encoded(1)[:40])
    (root / "deep" / "notes.txt").write_text("no image")
    words = [(encoded(number), "") for number in range(100, 200)]
    words[10] = (b"no picture", "")
    write_lmdb(root / "words", words)
    rows = [encoded(number) for number in range(200, 300)]
    column = pyarrow.array([None, *rows[1:]], pyarrow.binary())
    parquet.write_table(
        pyarrow.table({"label": ["x"] * 100, "image": column}),
        root / "a.parquet",
        row_group_size=30,
    )
    hugging = pyarrow.array([{"bytes": encoded(number), "path": "x"} for number in range(400, 405)])
    parquet.write_table(pyarrow.table({"image": hugging}), root / "b.parquet")
    members = [(f"{number}.png", encoded(number)) for number in range(300, 350)]
    write_tar(root / "s.tar", [*members, ("300.txt", b"label")])
    whole = (root / "s.tar").read_bytes()
    (root / "cut.tar").write_bytes(whole[: 512 * 3 + 20])  # one image, and a part of the next
    (root / "bad.parquet").write_bytes(b"PAR1 no more")
    (root / "broken").mkdir()
    (root / "broken" / "data.mdb").write_bytes(b"nothing")
    return root


EXPECTED = (
    range(100),
    range(100, 110),
    range(111, 200),
    range(201, 300),
    range(300, 350),
    range(400, 405),
)


def test_every_image_of_every_kind_once_and_what_is_damaged_by_name(
    inputs: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    summary = read_all([inputs], output, per_part=40, recognizer=SleepyReader)
    rows = table(output)
    assert tuple(rows[0]) == COLUMNS
    assert [text for text in texts(output) if text != "300"] == [
        t for t in numbers(*EXPECTED) if t != "300"
    ]
    assert Counter(texts(output))["300"] == 2, "it is in the tar that was cut, too"
    errors = {
        row["source"].removeprefix(f"{inputs}/"): row["error"]
        for row in rows
        if row["error"] is not None
    }
    assert set(errors) == {
        "deep/cut.png",
        "words#11",
        "a.parquet#0",
        "cut.tar",
        "bad.parquet",
        "broken",
    }
    assert "cut short" in errors["cut.tar"]
    assert "LMDB" in errors["broken"]
    assert (summary.images, summary.unreadable, summary.added) == (len(rows), 6, len(rows) - 2)
    named = {row["text"]: row["source"].removeprefix(f"{inputs}/") for row in rows}
    assert (named["7"], named["105"]) == ("deep/er/007.png", "words#6")
    assert (named["231"], named["333"]) == ("a.parquet#31", "s.tar#333.png")
    assert rows[0]["character_confidences"] == pytest.approx([0.5] * len(rows[0]["text"]))


def test_a_second_run_reads_only_what_is_missing(inputs: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    read_all([inputs], output, per_part=40, recognizer=SleepyReader)
    before = {
        path.name: path.stat().st_mtime_ns
        for path in output.glob("*.parquet")
        if "failed" not in path.name
    }
    assert read_all([inputs], output, per_part=40, recognizer=SleepyReader).added == 0
    lost = sorted(before)[::3]
    for name in lost:
        (output / name).unlink()
    (inputs / "deep" / "new.png").write_bytes(encoded(500))
    summary = read_all([inputs], output, per_part=23, recognizer=SleepyReader)
    assert 0 < summary.added < summary.images
    after = {path.name: path.stat().st_mtime_ns for path in output.glob("*.parquet")}
    assert all(after[name] == before[name] for name in before if name not in lost)
    assert texts(output) == sorted([*numbers(*EXPECTED), "300", "500"])


def test_an_lmdb_that_has_grown(tmp_path: Path) -> None:
    output = tmp_path / "out"
    write_lmdb(tmp_path / "w", [(encoded(number), "") for number in range(50)])
    read_all([tmp_path / "w"], output, per_part=20, recognizer=SleepyReader)
    (tmp_path / "w").rename(tmp_path / "old")
    write_lmdb(tmp_path / "w", [(encoded(number), "") for number in range(70)])
    assert read_all([tmp_path / "w"], output, per_part=20, recognizer=SleepyReader).added == 20
    assert texts(output) == numbers(range(70))


def test_units_can_be_sent(inputs: Path, tmp_path: Path) -> None:
    unit = Unit("lmdb", str(inputs / "words"), Span(5, 8))
    assert Unit.from_json(unit.to_json()) == unit
    assert [image.source for image in images(unit)] == [
        f"{inputs / 'words'}#{number}" for number in (6, 7, 8)
    ]
    found = find([inputs, str(inputs / "*.tar"), tmp_path / "none.png"], without=inputs / "deep")
    assert found["files"] == [str(tmp_path / "none.png")]
    assert found["tar"] == [str(inputs / "cut.tar"), str(inputs / "s.tar")]


def test_mistakes_get_a_clear_message(inputs: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    for changes, message in (
        ({"engine": "spark"}, "no engine 'spark'; known: plain, ray"),
        ({"per_part": 0}, "per_part is 0"),
        ({"inputs": [tmp_path / "nothing-*"]}, "no images found"),
        ({"output": inputs}, "contains something other than readings"),
    ):
        options: dict[str, Any] = {
            "inputs": [inputs],
            "output": output,
            "recognizer": SleepyReader,
            **changes,
        }
        with pytest.raises(ValueError, match=message):
            read_all(**options)
    read_all([inputs / "s.tar"], output, recognizer=SleepyReader)
    with pytest.raises(ValueError, match="with model 'strhub-small', not 'parseq'"):
        read_all([inputs / "s.tar"], output, recognizer=SleepyReader, model="parseq")
    with pytest.raises(ValueError, match="with options"):
        read_all([inputs / "s.tar"], output, recognizer=SleepyReader, options={"refine_iters": 2})
    parquet.write_table(pyarrow.table({"x": [1]}), tmp_path / "numbers.parquet")
    read_all([tmp_path / "numbers.parquet"], tmp_path / "other", recognizer=SleepyReader)
    assert "of its columns x none is known to hold images" in table(tmp_path / "other")[0]["error"]


def test_the_output_is_one_table_to_other_programs(inputs: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    summary = read_all(
        [inputs / "s.tar", inputs / "deep", inputs / "broken"],
        output,
        per_part=40,
        recognizer=SleepyReader,
    )
    assert parquet.read_table(output).num_rows == summary.images
    assert parquet.read_table(output).column_names == list(COLUMNS)
    pandas = pytest.importorskip("pandas")
    assert len(pandas.read_parquet(output)) == summary.images
    # As it was called before: a run goes on with such a folder, and notices another model.
    (output / "_job.json").rename(output / "job.json")
    with pytest.raises(ValueError, match="with model"):
        read_all([inputs / "s.tar"], output, recognizer=SleepyReader, model="parseq")
    assert read_all([inputs / "s.tar"], output, recognizer=SleepyReader).added == 0
    assert not (output / "job.json").exists()
    (output / "_job.json").write_text("[]")
    with pytest.raises(ValueError, match="is damaged: it is not a JSON object"):
        read_all([inputs / "s.tar"], output, recognizer=SleepyReader)


def test_tables_that_unpack_to_more_than_images_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strhub.bulk.parquet, "MIN_UNPACKED", 4 << 20)
    monkeypatch.setattr(strhub.bulk.parquet, "MAX_UNPACKED", 4 << 20)
    big = bytes(1 << 20)
    for name, column in {
        "plain": pyarrow.array([big] * 6, pyarrow.binary()),
        "struct": pyarrow.array([{"bytes": big, "path": "x"}] * 6),
        "nothing": pyarrow.nulls(100_000, pyarrow.binary()),
    }.items():
        written = pyarrow.table({"image": column})
        parquet.write_table(
            written, tmp_path / f"{name}.parquet", use_dictionary=False, compression="zstd"
        )
    repeated = pyarrow.table({"image": pyarrow.array([big] * 60, pyarrow.binary())})
    parquet.write_table(repeated, tmp_path / "repeated.parquet", dictionary_pagesize_limit=1 << 30)
    read_all([tmp_path], tmp_path / "out", recognizer=SleepyReader)
    errors = Counter(
        (Path(row["source"]).name.partition("#")[0], row["error"])
        for row in table(tmp_path / "out")
    )
    said = dict(errors.keys())
    assert "would unpack from" in said["plain.parquet"]
    assert "would unpack from" in said["struct.parquet"]
    assert "can't hold the images of 100000 rows" in said["nothing.parquet"]
    assert errors["repeated.parquet", said["repeated.parquet"]] == 60
    assert (
        strhub.bulk.parquet.rows_at_a_time(parquet.ParquetFile(tmp_path / "repeated.parquet"), [0])
        == 3
    )


def test_a_damaged_page_of_an_lmdb_costs_its_records_only(tmp_path: Path) -> None:
    write_lmdb(tmp_path / "words", [(encoded(number), "") for number in range(300)])
    file = tmp_path / "words" / "data.mdb"
    content = file.read_bytes()
    read, at = 300, 8192
    while read == 300:  # until it is a page that is in use
        at += 4096
        if content[at + 10] & 2 and b"image-" in content[at : at + 4096]:
            file.write_bytes(content[:at] + bytes(4096) + content[at + 4096 :])
            read_all([tmp_path / "words"], tmp_path / f"out{at}", recognizer=SleepyReader)
            read = len(texts(tmp_path / f"out{at}"))
    rows = table(tmp_path / f"out{at}")
    assert 200 < read < 300
    assert len(rows) == 300
    assert all("damaged: page" in row["error"] for row in rows if row["error"])


def test_a_damaged_page_of_a_table_costs_its_rows_only(inputs: Path, tmp_path: Path) -> None:
    content = bytearray((inputs / "a.parquet").read_bytes())
    second_group = parquet.ParquetFile(inputs / "a.parquet").metadata.row_group(1).column(1)
    start = second_group.data_page_offset
    content[start : start + 200] = bytes(200)
    (tmp_path / "a.parquet").write_bytes(content)
    read_all([tmp_path / "a.parquet"], tmp_path / "out", per_part=30, recognizer=SleepyReader)
    assert texts(tmp_path / "out") == numbers(range(201, 230), range(260, 300))
    assert sum("damaged" in (row["error"] or "") for row in table(tmp_path / "out")) == 30


class Counting(SleepyReader):
    """Stops the run after so many batches, as Ctrl-C would."""

    left = 5

    def __call__(self, inputs: Any) -> list[Any]:
        Counting.left -= 1
        if Counting.left == 0:
            raise KeyboardInterrupt
        return super().__call__(inputs)


def test_ctrl_c_leaves_whole_parts(inputs: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        read_all([inputs], output, per_part=20, recognizer=Counting)
    assert not list(output.glob(".*.partial"))
    some = len(texts(output))
    assert 0 < some < 100
    read_all([inputs], output, per_part=20, recognizer=SleepyReader)
    assert texts(output) == sorted([*numbers(*EXPECTED), "300"])


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from strhub.cli.read import run

    output = tmp_path / "out"
    arguments = [
        "--images",
        str(ROOT / "demo_images"),
        str(tmp_path / "gone.png"),
        "--output",
        str(output),
    ]
    assert run(arguments) == 1
    images_there = len(list((ROOT / "demo_images").glob("*.png")))
    printed = capsys.readouterr()
    assert f"{images_there + 1} images, {images_there + 1} of them now" in printed.out
    assert "1 could not be read" in printed.err
    single = {row["source"]: row["text"] for row in table(output)}
    run(["--images", str(ROOT / "demo_images"), "--json"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["path"]: line["text"] for line in lines}.items() <= single.items()


def test_what_is_asked_of_the_command_is_done_or_refused(tmp_path: Path) -> None:
    from strhub.cli.read import run

    image, output = str(ROOT / "demo_images" / "04.png"), tmp_path / "out"
    run(["--images", image, "--output", str(output), "--whitelist", "0123456789"])
    assert set(table(output)[0]["text"]) <= set("0123456789")
    for arguments, message in (
        (["--engine", "plain"], "--engine needs --output"),
        (["--workers", "2"], "--workers needs --output"),
        (["--output", str(output), "--gpus", "1"], "--gpus needs --engine ray"),
        (["--output", str(output), "--top_k", "2"], "--top_k is not for --output"),
        (["--output", str(output), "--json"], "--json is not for --output"),
    ):
        with pytest.raises(ValueError, match=message):
            run(["--images", image, *arguments])


def killed_and_resumed(inputs: Path, output: Path, engine: str) -> Iterator[int]:
    """Start, kill after a while, twice; then let it end. How many were there at each end."""
    script = [
        sys.executable,
        str(ROOT / "tests/bulk/bulk_support.py"),
        str(inputs),
        str(output),
        engine,
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests/bulk")]),
    }
    for parts in (3, 9, None):
        process = subprocess.Popen(
            script, env=environment, start_new_session=True, stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 200
        while parts and len(list(output.glob("lmdb*"))) < parts and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        if parts:
            os.killpg(process.pid, signal.SIGKILL)
        status = process.wait(timeout=200)
        assert status == (-signal.SIGKILL if parts else 0)
        yield len(texts(output))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["plain", "ray"])
def test_killed_twice_and_gone_on_with(tmp_path: Path, engine: str) -> None:
    if engine == "ray":
        pytest.importorskip("ray.data", reason="the extra bulk is not installed")
    write_lmdb(tmp_path / "w", [(encoded(number), "") for number in range(1000)])
    first, second, third = killed_and_resumed(tmp_path / "w", tmp_path / "out", engine)
    assert 0 < first < second < third == 1000
    assert texts(tmp_path / "out") == numbers(range(1000))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # Ray's own
def test_ray_replaces_a_dead_actor(tmp_path: Path) -> None:
    pytest.importorskip("ray.data", reason="the extra bulk is not installed")
    write_lmdb(tmp_path / "w", [(encoded(number), "") for number in range(200)])
    deadly = make_sleepy(kill_once=str(tmp_path / "kill"))
    (tmp_path / "kill").touch()
    read_all(
        [tmp_path / "w"],
        tmp_path / "out",
        per_part=20,
        engine="ray",
        recognizer=deadly,
        workers=2,
        cpus=0.5,
    )
    assert not (tmp_path / "kill").exists()
    assert texts(tmp_path / "out") == numbers(range(200))
    with pytest.raises(ValueError, match="an actor needs 1000 CPU, but Ray has"):
        read_all([tmp_path / "w"], tmp_path / "two", engine="ray", recognizer=deadly, cpus=1000)
