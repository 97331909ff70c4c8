"""Filter, merge and split: records are copied as they are, each is kept or counted, and words stay
on one side.
"""

from __future__ import annotations

import io
from pathlib import Path

import lmdb
import numpy as np
import pytest
from PIL import Image

import strhub.data.curation.reshaping
from strhub.cli.data import run
from strhub.data.curation.reshaping import split_by_label, split_by_record
from strhub.data.curation.stored import StoredWords
from strhub.data.sources.lmdb import write_lmdb
from strhub.data.synth import RenderedWords
from strhub.text import CHARSET_36

WORDS = RenderedWords(charset=CHARSET_36, max_length=8, seed=4)
Records = list[tuple[bytes | None, str | None]]


def encoded(image: Image.Image, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


def rendered(first: int, end: int) -> Records:
    return [(encoded(image), label) for image, label in map(WORDS.render, range(first, end))]


def flat(width: int, height: int, label: str) -> tuple[bytes, str]:
    return encoded(Image.new("RGB", (width, height), "white")), label


def read(folder: Path) -> Records:
    words = StoredWords(folder)
    return [(stored.encoded, stored.text) for stored in words.records(range(1, words.count + 1))]


def write(folder: Path, records: Records) -> Path:
    folder.parent.mkdir(parents=True, exist_ok=True)
    write_lmdb(folder, [(original or b"", label or "") for original, label in records])
    return folder


def remove(folder: Path, *keys: bytes) -> None:
    with (
        lmdb.open(str(folder), lock=False, map_size=1 << 26) as environment,
        environment.begin(write=True) as writing,
    ):
        assert all(writing.delete(key) for key in keys)


def filtered(source: Path, *options: str) -> Records:
    target = source.parent / "filtered"
    run(["filter", str(source), str(target), "--workers", "1", "--overwrite", *options])
    return read(target)


def test_without_wishes_all_is_copied_in_order(tmp_path: Path) -> None:
    first, second = rendered(0, 3), [*rendered(3, 5), (b"no picture at all", "kept")]
    write(tmp_path / "in" / "a", first)
    write(tmp_path / "in" / "b" / "c", second)
    assert filtered(tmp_path / "in") == first + second


@pytest.mark.parametrize(
    ("options", "kept", "reason"),
    [
        (
            ["--charset", "36_lowercase"],
            "good Good tall wide tiny ninechars g",
            "outside the charset",
        ),
        (
            ["--charset", "36_lowercase", "--max_length", "8"],
            "good Good tall wide tiny g",
            "1 too long",
        ),
        (["--max_length", "4"], "good Good tall wide tiny g ñ日", "1 too long"),
        (["--match", "^[a-z]+$"], "good tall wide tiny ninechars g", "2 no match"),
        (["--min_side", "10"], "good Good tall wide ninechars g ñ日", "1 small side, 1 unreadable"),
        (
            ["--min_aspect", "0.5"],
            "good Good wide tiny ninechars ñ日",
            "2 too narrow, 1 unreadable",
        ),
        (["--max_aspect", "4"], "good Good tall tiny ninechars g ñ日", "1 too wide"),
        (["--vertical", "drop"], "good Good wide tiny ninechars g ñ日", "1 vertical"),
        (["--drop_unreadable"], "good Good tall wide tiny ninechars g ñ日", "1 unreadable"),
    ],
)
def test_wishes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], kept: str, reason: str
) -> None:
    records: Records = [
        *(flat(40, 20, "good"), flat(41, 20, "Good"), flat(20, 60, "tall"), flat(200, 20, "wide")),
        *(flat(9, 9, "tiny"), flat(42, 20, "ninechars"), flat(20, 61, "g"), flat(43, 20, "ñ日")),
    ]
    about_labels = {"--match", "--max_length", "--charset"} & set(options)
    broken: Records = [] if about_labels else [(b"?", "broken")]
    result = filtered(write(tmp_path / "in", records + broken), *options)
    assert " ".join(str(label) for _, label in result) == kept
    assert set(result) <= set(records)
    said = capsys.readouterr().out
    assert all(part in said for part in reason.split(", "))


def test_duplicates_and_overlap(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = rendered(0, 20)
    image, label = WORDS.render(3)
    records[10] = records[2]  # the same
    records[11] = (
        encoded(image.resize((image.width * 2, image.height * 2))),
        str(label).upper(),
    )  # near
    test = rendered(30, 40)
    near_test, near_label = WORDS.render(7)
    test[0] = (encoded(near_test, "JPEG"), near_label)
    test[1] = records[2]
    write(tmp_path / "test" / "a", test)
    source = write(tmp_path / "in", records)
    expected = [record for number, record in enumerate(records) if number not in (10, 11)]
    assert filtered(source, "--drop_duplicates") == expected
    assert "18 records kept, 2 dropped: 1 duplicate, 1 near duplicate" in capsys.readouterr().out
    expected = [record for number, record in enumerate(records) if number not in (2, 7, 10)]
    assert filtered(source, "--without", str(tmp_path / "test")) == expected
    assert "3 overlap" in capsys.readouterr().out


def test_of_duplicates_one_stays_that_is_wished_for(tmp_path: Path) -> None:
    original, _ = rendered(0, 1)[0]
    source = write(tmp_path / "in", [(original, "toolong"), (original, "fine"), (original, "fine")])
    assert filtered(source, "--drop_duplicates", "--max_length", "5") == [(original, "fine")]


def test_merge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = rendered(0, 4), rendered(4, 6)
    for name, records in (("a", first), ("b", second)):
        write(tmp_path / name, records)
    remove(tmp_path / "a", b"image-000000002", b"label-000000003")
    run(["merge", str(tmp_path / "out"), str(tmp_path / "b"), str(tmp_path / "a")])
    assert read(tmp_path / "out") == [*second, first[0], (first[2][0], ""), first[3]]
    assert "5 records kept, 1 dropped: 1 no image" in capsys.readouterr().out
    with pytest.raises(ValueError, match="exists"):
        run(["merge", str(tmp_path / "out"), str(tmp_path / "a")])


def test_split_by_label_leaves_no_word_on_both_sides(tmp_path: Path) -> None:
    labels = [
        "one",
        "ONE",
        "Öne",
        "two",
        "Two!",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
    ]
    records = [flat(20 + number, 20, label) for number, label in enumerate(labels)]
    source = write(tmp_path / "in", list(records))
    run(
        [
            "split",
            str(source),
            str(tmp_path / "a"),
            str(tmp_path / "b"),
            "--fraction",
            "0.5",
            "--seed",
            "3",
        ]
    )
    first, second = read(tmp_path / "a"), read(tmp_path / "b")
    assert sorted(first + second) == sorted(records)
    assert [record for record in records if record in first] == first  # in their order
    assert not {label.casefold() for _, label in first} & {label.casefold() for _, label in second}
    assert abs(len(first) - 6) <= 1


def test_split_by_record_meets_the_share(tmp_path: Path) -> None:
    source = write(tmp_path / "in", [flat(20 + number, 20, "same") for number in range(10)])
    run(
        [
            "split",
            str(source),
            str(tmp_path / "a"),
            str(tmp_path / "b"),
            "--fraction",
            "0.9",
            "--by",
            "record",
        ]
    )
    assert (len(read(tmp_path / "a")), len(read(tmp_path / "b"))) == (9, 1)
    with pytest.raises(ValueError, match="would be empty"):
        run(["split", str(source), str(tmp_path / "c"), str(tmp_path / "d"), "--fraction", "0.9"])
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("seed", range(5))
def test_splits_are_fixed_by_their_seed(seed: int) -> None:
    keys = np.random.default_rng(seed).integers(0, 300, 2000).astype(np.uint64)
    by_label = split_by_label(keys, 0.9, seed)
    assert not set(keys[by_label]) & set(keys[~by_label])
    assert abs(by_label.sum() - 1800) <= 20
    assert (by_label == split_by_label(keys, 0.9, seed)).all()
    assert (by_label != split_by_label(keys, 0.9, seed + 1)).any()
    by_record = split_by_record(2000, 0.25, seed)
    assert by_record.sum() == 500
    assert (by_record == split_by_record(2000, 0.25, seed)).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["filter", "IN", "OUT", "--match", "("], "regular expression"),
        (["filter", "IN/none", "OUT"], "no LMDB folder"),
        (["filter", "IN", "OUT", "--match", "nothing like it"], "nothing to write"),
        (["split", "IN", "OUT", "OUT2", "--fraction", "1.5"], "fraction"),
        (["split", "IN", "OUT", "OUT", "--fraction", "0.5"], "two folders"),
        (["split", "IN", "IN", "OUT", "--fraction", "0.5"], "exists"),
        (["split", "IN", "OUT", "OUT2", "--fraction", "0.5", "--seed", "-1"], "seed"),
    ],
)
def test_bad_arguments(tmp_path: Path, arguments: list[str], message: str) -> None:
    write(tmp_path / "IN", rendered(0, 4))
    paths = [str(tmp_path / part) if part.startswith(("IN", "OUT")) else part for part in arguments]
    with pytest.raises(ValueError, match=message):
        run(paths)
    assert not list(tmp_path.glob("OUT*"))


def test_a_split_that_was_stopped_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(tmp_path / "in", rendered(0, 20))
    command = ["split", str(source), str(tmp_path / "a"), str(tmp_path / "b"), "--fraction", "0.5"]
    copy = strhub.data.curation.reshaping.copy_records

    def stop_at_second(folder: Path, *rest: object) -> object:
        if folder.name == "b":
            raise KeyboardInterrupt
        return copy(folder, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(strhub.data.curation.reshaping, "copy_records", stop_at_second)
    with pytest.raises(KeyboardInterrupt):
        run(command)
    first = read(tmp_path / "a")
    monkeypatch.undo()
    with pytest.raises(ValueError, match="a already exists"):  # of another split
        run([*command, "--seed", "1"])
    assert read(tmp_path / "a") == first
    (tmp_path / ".a.lock").touch()  # as a kill at the very end leaves it
    run(command)
    assert read(tmp_path / "a") == first
    assert sorted(map(str, first + read(tmp_path / "b"))) == sorted(map(str, read(source)))
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a", "b", "in"]
    with pytest.raises(ValueError, match="a already exists"):  # it is complete
        run(command)
