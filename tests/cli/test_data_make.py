"""`python -m strhub.data make`: images to LMDB on the command line, and the commands as a whole."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import lmdb
import numpy as np
import pytest
from PIL import Image

from strhub.cli import data as commands
from strhub.cli.commands import Commands
from strhub.data.sources.lmdb import LmdbWords

SUFFIXES = ("png", "jpg", "webp", "bmp", "gif", "tif")


def contents(folder: Path) -> dict[bytes, bytes]:
    with (
        lmdb.open(str(folder), readonly=True, lock=False) as environment,
        environment.begin() as transaction,
    ):
        return dict(transaction.cursor())


def images(folder: Path, count: int = 12) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    with (folder / "labels.csv").open("w") as table:
        for number in range(count):
            name = f"{number}.{SUFFIXES[number % len(SUFFIXES)]}"
            Image.fromarray(rng.integers(0, 256, (8, 20, 3), dtype=np.uint8)).save(folder / name)
            table.write(f"{name},word{number}\n")
    return folder


def strhub_data(*arguments: object, **options: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "strhub.data", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_files_are_stored_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], workers: str
) -> None:
    source = images(tmp_path / "in")
    commands.run(["make", str(source), str(tmp_path / "out"), "--workers", workers])
    assert capsys.readouterr() == (f"{tmp_path / 'out'}: 12 words written\n", "")
    stored = contents(tmp_path / "out")
    words = LmdbWords(tmp_path / "out")
    assert words.labels == [f"word{number}" for number in range(12)]
    for number in range(12):
        assert (
            stored[b"image-%09d" % (number + 1)]
            == (source / f"{number}.{SUFFIXES[number % 6]}").read_bytes()
        )
        assert words.read(number)[0].size == (20, 8)


def test_what_can_not_be_used_is_counted_and_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = images(tmp_path / "in")
    (source / "3.bmp").write_bytes(b"BM no more")
    (source / "4.gif").unlink()
    (source / "5.tif").unlink()
    (source / "6.png").write_bytes((source / "6.png").read_bytes()[:60])
    (source / "7.jpg").unlink()
    (source / "7.jpg").mkdir()
    with (source / "labels.csv").open("a") as table:
        table.write("8.webp,\njust this\n")
    commands.run(["make", str(source), str(tmp_path / "out"), "--workers", "1"])
    out, err = capsys.readouterr()
    assert out == f"{tmp_path / 'out'}: 7 words written\n"
    lines = err.splitlines()
    assert lines[-1] == "skipped: 3 unreadable image, 2 missing image, 1 empty label, 1 bad line"
    table_path = source / "labels.csv"
    for line, problem in enumerate(
        [
            f"{table_path}:14: one column only",
            f"{table_path}:13: 8.webp: the label is empty",
            f"{table_path}:4: 3.bmp: ",
            f"{table_path}:5: 4.gif: there is no such image",
            f"{table_path}:6: 5.tif: there is no such image",
            f"{table_path}:7: 6.png: damaged: ",
            f"{table_path}:8: 7.jpg: ",
        ]
    ):
        assert any(found.startswith(problem) for found in lines[:-1]), (line, problem)
    assert len(lines) == 8
    with pytest.raises(ValueError, match=r"the label is empty|one column only"):
        commands.run(["make", str(source), str(tmp_path / "strict"), "--workers", "1", "--strict"])
    table_path.write_text("0.png,zero\n3.bmp,three\n")
    with pytest.raises(ValueError, match=r"labels\.csv:2: 3\.bmp: "):
        commands.run(["make", str(source), str(tmp_path / "strict"), "--workers", "1", "--strict"])
    assert not (tmp_path / "strict").exists()


def test_forms_and_folders_of_images(tmp_path: Path) -> None:
    source = images(tmp_path / "in")
    (tmp_path / "list.tsv").write_text("1.jpg\tone\n")
    commands.run(
        [
            "make",
            str(tmp_path / "list.tsv"),
            str(tmp_path / "a"),
            "--images",
            str(source),
            "--workers",
            "1",
        ]
    )
    assert LmdbWords(tmp_path / "a").labels == ["one"]
    arguments = ["--format", "names", "--name-rule", "suffix", "--workers", "1"]
    commands.run(["make", str(source), str(tmp_path / "b"), *arguments])
    assert sorted(LmdbWords(tmp_path / "b").labels) == sorted(map(str, range(12)))
    with pytest.raises(ValueError, match="b already exists"):
        commands.run(["make", str(source), str(tmp_path / "b"), "--workers", "1"])
    commands.run(["make", str(source), str(tmp_path / "b"), "--workers", "1", "--overwrite"])
    assert LmdbWords(tmp_path / "b").labels[0] == "word0"


def test_nothing_to_write_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty has no annotations"):
        commands.run(["make", str(tmp_path / "empty"), str(tmp_path / "out")])
    with pytest.raises(
        ValueError, match=r"empty: there are no images in it, so .*out was not made"
    ):
        commands.run(["make", str(tmp_path / "empty"), str(tmp_path / "out"), "--format", "names"])
    (tmp_path / "empty" / "labels.csv").write_text("a.png,a\nb.png,\n")
    done = strhub_data("make", tmp_path / "empty", tmp_path / "out", "--workers", 1)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-2:] == [
        "skipped: 1 missing image, 1 empty label",
        f"strhub-data make: {tmp_path / 'empty' / 'labels.csv'}: none of its 2 images or lines can "
        "be used, so "
        f"{tmp_path / 'out'} was not made",
    ]
    assert sorted(item.name for item in tmp_path.iterdir()) == ["empty"]


# Ends of runs

SLOW_MAKE = """
import sys, time
from strhub.cli import data as __main__
from strhub.data.curation import writer
from strhub.cli.data_commands import make
writer.COMMIT_SECONDS = 0.05
decode, begun = make.open_bytes, 0
def slowly(content):
    global begun
    begun += 1
    print("decoding", flush=True)
    time.sleep(0.02 if begun < 100 else 100)  # it gets no further before it is stopped
    return decode(content)
make.open_bytes = slowly
sys.argv[1:1] = ["make"]
__main__.main()
"""


def start_slowly(*arguments: object) -> "subprocess.Popen[str]":
    """Make, in a group of processes of its own; it has begun to decode when this returns."""
    command = [sys.executable, "-c", SLOW_MAKE, *map(str, arguments), "--workers", "1"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "decoding\n"
    return process


@pytest.mark.skipif(os.name != "posix", reason="the signal is POSIX's")
def test_ctrl_c_stops_at_once_and_the_same_command_goes_on(tmp_path: Path) -> None:
    source = images(tmp_path / "in", 300)
    with start_slowly(source, tmp_path / "out") as process:
        assert process.stdout is not None
        for _ in range(60):  # images
            process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=240)
    assert process.returncode == 130
    last = err.splitlines()[-1]
    assert last.startswith("strhub-data make: stopped; ")
    kept = int(last.split()[3])
    assert 0 < kept < 300, "it did not go on to the end"
    assert not (tmp_path / "out").exists()
    assert (tmp_path / ".out.partial" / "data.mdb").exists()
    commands.run(["make", str(source), str(tmp_path / "out"), "--workers", "1"])
    assert LmdbWords(tmp_path / "out").labels == [f"word{number}" for number in range(300)]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="the signal is POSIX's")
def test_ten_kills_lose_nothing(tmp_path: Path) -> None:
    source, rng, kills = images(tmp_path / "in", 1000), Random(1), 0
    commands.run(["make", str(source), str(tmp_path / "whole"), "--workers", "1"])
    whole = contents(tmp_path / "whole")
    while kills < 10:
        with start_slowly(source, tmp_path / "out") as process:
            time.sleep(rng.random() * 0.4)
            process.kill()
            process.communicate()
        kills += process.returncode == -signal.SIGKILL
        if (tmp_path / "out").exists():
            assert contents(tmp_path / "out") == whole
            (tmp_path / "out" / "data.mdb").unlink()
            (tmp_path / "out").rmdir()
    assert strhub_data("make", source, tmp_path / "out", "--workers", 2).returncode == 0
    assert contents(tmp_path / "out") == whole


def test_images_from_elsewhere_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A label file may name any image; who makes a set of it for others learns of it."""
    source, other = images(tmp_path / "in", 2), images(tmp_path / "in-other", 2)
    rows = ["0.png,a", f"{other / '0.png'},b", "../in-other/0.png,c", "./0.png,d"]
    (source / "labels.csv").write_text("".join(f"{row}\n" for row in rows))
    label_file = str(source / "labels.csv")
    commands.run(["make", label_file, str(tmp_path / "out"), "--workers", "1"])
    told = f"2 of 4 images lie outside of {source}, such as {other / '0.png'}"
    assert told in capsys.readouterr().err.splitlines()
    assert LmdbWords(tmp_path / "out").labels == ["a", "b", "c", "d"]


def test_changed_image_begins_anew(tmp_path: Path) -> None:
    source = images(tmp_path / "in", 300)
    with start_slowly(source, tmp_path / "out") as process:
        time.sleep(0.4)
        process.kill()
    (source / "0.png").write_bytes((source / "6.png").read_bytes())
    commands.run(["make", str(source), str(tmp_path / "out"), "--workers", "1"])
    assert contents(tmp_path / "out")[b"image-000000001"] == (source / "6.png").read_bytes()


# All commands


def test_help_lists_the_commands_that_are_there() -> None:
    code = "import sys; from strhub.cli.data import run; run(['--help']);"
    code += "print([name for name in ('torch', 'lmdb', 'PIL', 'numpy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("usage: strhub-data <command>")
    assert "  make      Make an LMDB from a folder of images and their labels." in lines
    assert lines[-1] == "[]"
    assert strhub_data().stdout.splitlines() == lines[:-1]


def test_unknown_commands_and_arguments() -> None:
    done = strhub_data("mak", "a", "b")
    assert done.returncode == 1
    assert done.stderr.startswith(
        "strhub-data: there is no command 'mak'; did you mean make? The commands are make, "
    )
    done = strhub_data("make", "a")
    assert done.returncode == 2
    assert "strhub-data make: error: the following arguments are required: output" in done.stderr
    done = strhub_data("make", "nowhere", "out")
    assert (done.returncode, done.stderr) == (
        1,
        "strhub-data make: nowhere: there is no such file or folder\n",
    )


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (KeyboardInterrupt(), 130, "\nstrhub-data make: stopped\n"),
        (KeyboardInterrupt("stopped; 3 kept"), 130, "\nstrhub-data make: stopped; 3 kept\n"),
        (
            ModuleNotFoundError("no", name="lmdb"),
            "strhub-data make: lmdb is not installed; this command needs: pip ",
            "",
        ),
        (ValueError("wrong"), "strhub-data make: wrong", ""),
        (PermissionError(13, "denied", "x"), "strhub-data make: [Errno 13] denied: 'x'", ""),
    ],
)
def test_ends_of_a_command(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    status: int | str,
    message: str,
) -> None:
    def fail(_program: Commands) -> None:
        raise error

    monkeypatch.setattr(Commands, "run", fail)
    monkeypatch.setattr(sys, "argv", ["strhub-data", "make", "a", "b"])
    with pytest.raises(SystemExit) as caught:
        commands.main()
    assert caught.value.code == status or str(caught.value.code).startswith(str(status))
    assert capsys.readouterr().err == message
