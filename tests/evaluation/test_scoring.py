"""Reading of test sets as streams: any kind of set, parts on several devices, predictions of other
programs.
"""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pytest
from words_support import Told, image_of, write_folder, write_table, write_words

from strhub import Recognizer
from strhub.checkpoint.zoo import load
from strhub.data.module import SceneTextDataModule
from strhub.data.sources.word_sets import WordSet, open_set
from strhub.errors import DataError
from strhub.evaluation.evaluate import evaluate
from strhub.evaluation.predictions import Predictions
from strhub.evaluation.readers import NetworkReader, PredictionsReader, RecognizerReader
from strhub.evaluation.results.files import read_samples
from strhub.evaluation.scoring import merge_parts, score, summarize
from strhub.text import CHARSET_36, CHARSET_94

WORDS = ("Exit", "Hotel", "24h", "Café", "!", "open")


def write_tar(path: Path, words: Sequence[str]) -> Path:
    with tarfile.open(path, "w") as tar:
        for number, word in enumerate(words):
            buffer = BytesIO()
            image_of(word).save(buffer, "PNG")
            for suffix, content in (("png", buffer.getvalue()), ("txt", word.encode())):
                info = tarfile.TarInfo(f"{number:06d}.{suffix}")
                info.size = len(content)
                tar.addfile(info, BytesIO(content))
    return path


def lmdb_and_folder_and_tar(root: Path) -> list[WordSet]:
    lmdb = write_words(root / "lmdb", WORDS)
    folder = write_folder(
        root / "folder", [(f"{number}.png", word) for number, word in enumerate(WORDS)]
    )
    return [
        open_set(path, path.name) for path in (lmdb, folder, write_tar(root / "words.tar", WORDS))
    ]


def test_the_same_words_in_any_kind_of_set_give_the_same(tmp_path: Path) -> None:
    sets = lmdb_and_folder_and_tar(tmp_path)
    reader = Told({"Exit": ("exlt", 0.99), "open": ("", 0.0)})
    found = score(
        reader, sets, charset=CHARSET_36, other_charsets=[CHARSET_94], output=tmp_path / "out"
    )
    assert len(set(found.digests.values())) == 1
    for result in found.values():
        assert (result.samples, result.correct, result.untested) == (5, 3, 1)
        assert [one.text for one in result.suspects] == ["exlt"]
    assert found.combined.samples == 15
    assert found.scores[CHARSET_94]["lmdb"].samples == 6
    assert found.scores[CHARSET_94]["lmdb"].correct == 4
    samples = list(found.samples())
    assert [one.image for one in samples[::6]] == ["image-000000001", "0.png", "0"]
    assert len({one.key for one in samples}) == 18
    for words, first in zip(sets, samples[::6], strict=True):
        images = words.open([(first.source, first.image)])
        assert images[first.source, first.image].size == image_of("Exit").size
    again = summarize(tmp_path / "out", charset=CHARSET_36)
    assert dict(again) == dict(found)
    assert again.combined == found.combined


@pytest.mark.parametrize("count", [1, 32, 70])
def test_parts_on_several_devices_give_what_one_gives(tmp_path: Path, count: int) -> None:
    words = [f"w{number}" for number in range(count)]
    one = open_set(write_words(tmp_path / "lmdb", words), "lmdb")
    two = open_set(write_words(tmp_path / "more", words[: count // 2 + 1]), "more")
    reader = Told({f"w{number}": ("x", 0.5 + number / 1000) for number in range(0, count, 3)})
    whole = score(reader, [one, two], charset=CHARSET_36, output=tmp_path / "whole")
    for number in (2, 0, 1):
        score(reader, [one, two], charset=CHARSET_36, output=tmp_path / "parts", part=(number, 3))
    merged = merge_parts(
        tmp_path / "parts", 3, ["lmdb", "more"], charset=CHARSET_36, reader=reader.description
    )
    assert dict(merged) == dict(whole)
    name = "samples.tsv"
    assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == ["samples.parquet", name]


def test_a_bare_network_scores_as_training_does(word_tree: Path) -> None:
    model = load("strhub-tiny").eval()
    data = SceneTextDataModule(
        word_tree,
        "",
        model.hparams.img_size,
        model.hparams.max_label_length,
        model.hparams.charset_train,
        batch_size=4,
    )
    found = evaluate(model, data, ["IIIT5k", "SVT"])
    assert found["IIIT5k"].samples == 10
    reader = NetworkReader(model, {}, data.get_transform(data.img_size), batch_size=4)
    own = score(reader, [open_set(word_tree / "test" / "SVT", "SVT")], charset=CHARSET_36)
    assert own["SVT"] == found["SVT"]
    for sample in found.samples():
        assert len(sample.character_confidences) == len(sample.raw_text)


def test_a_recognizer_reads_past_images_that_cannot_be_read(tmp_path: Path) -> None:
    from strhub.data.sources.lmdb import write_lmdb

    words = [
        (b"no image", "first"),
        (image_of("exit"), "exit"),
        (b"none", "second"),
        (b"none", "third"),
    ]
    write_lmdb(tmp_path / "lmdb", words)
    found = score(
        RecognizerReader(Recognizer("strhub-tiny", threads=1), {}),
        [open_set(tmp_path / "lmdb", "lmdb")],
        charset=CHARSET_36,
    )
    assert (found["lmdb"].samples, found["lmdb"].unreadable) == (4, 3)
    samples = list(found.samples())
    assert [one.label for one in samples] == ["first", "exit", "second", "third"]
    assert [bool(one.error) for one in samples] == [True, False, True, True]


def predicted(path: Path, sets: Sequence[WordSet]) -> dict[str, tuple[float, float]]:
    with Predictions(path) as predictions:
        reader = PredictionsReader(predictions, {"confidences": predictions.has_confidences})
        found = score(reader, sets, charset=CHARSET_36)
        predictions.check_all_used()
    return {name: (result.samples, result.correct) for name, result in found.items()}


def test_predictions_of_another_program(tmp_path: Path) -> None:
    sets = [open_set(write_words(tmp_path / "lmdb", WORDS), "lmdb")]
    rows = [(f"image-{number + 1:09d}", word, "0.5") for number, word in enumerate(WORDS)]
    rows[1] = (rows[1][0], "hostel", "1")
    rows.reverse()
    assert predicted(write_table(tmp_path / "all.tsv", rows), sets) == {"lmdb": (5, 4)}
    bare = [row[:2] for row in rows]
    assert predicted(write_table(tmp_path / "bare.tsv", bare, ("image", "text")), sets) == {
        "lmdb": (5, 4)
    }
    crlf = tmp_path / "crlf.tsv"
    crlf.write_bytes(b"\xef\xbb\xbf" + (tmp_path / "bare.tsv").read_bytes().replace(b"\n", b"\r\n"))
    assert predicted(crlf, sets) == {"lmdb": (5, 4)}


def test_our_own_samples_are_predictions_too(tmp_path: Path) -> None:
    sets = lmdb_and_folder_and_tar(tmp_path)
    found = score(Told({"Exit": ("exlt", 0.99)}), sets, charset=CHARSET_36, output=tmp_path / "out")
    expected = {name: (result.samples, result.correct) for name, result in found.items()}
    assert predicted(tmp_path / "out" / "samples.tsv", sets) == expected


GOOD = [(f"image-{number + 1:09d}", word, "0.5") for number, word in enumerate(WORDS)]


@pytest.mark.parametrize(
    ("rows", "head", "message"),
    [
        (GOOD[:-1], ("image", "text", "confidence"), "has no reading of image-000000006"),
        (
            [*GOOD, ("image-000000099", "x", "1")],
            ("image", "text", "confidence"),
            "1 readings of images that are",
        ),
        (
            [*GOOD, GOOD[0]],
            ("image", "text", "confidence"),
            "the same reading twice, in lines 2 and 8",
        ),
        (
            [*GOOD, ("image-000000001", "x", "1")],
            ("image", "text", "confidence"),
            "two readings, in lines 2 and 8",
        ),
        (
            [(name, word, word) for name, word, _ in GOOD] + [("image-000000001", "Exit", "Exlt")],
            ("image", "text", "label"),
            "has two labels, in lines 2 and 8",
        ),
        (
            [(name, word, word + "s") for name, word, _ in GOOD],
            ("image", "text", "label"),
            "the readings belong to other images",
        ),
        (
            [("image-000000001", "x", "1.5")],
            ("image", "text", "confidence"),
            "the confidence is '1.5'",
        ),
        (
            [("image-000000001", "x", "nan")],
            ("image", "text", "confidence"),
            "the confidence is 'nan'",
        ),
        (
            [("image-000000001", "x")],
            ("image", "text", "confidence"),
            "2 columns where the first line has 3",
        ),
        (GOOD, ("file", "text", "confidence"), "'image' once among them"),
        ([], ("image", "image", "text"), "'image' once among them"),
    ],
)
def test_predictions_that_do_not_fit_are_told(
    tmp_path: Path, rows: Sequence[Sequence[str]], head: Sequence[str], message: str
) -> None:
    sets = [open_set(write_words(tmp_path / "lmdb", WORDS), "lmdb")]
    with pytest.raises(DataError, match=message):
        predicted(write_table(tmp_path / "wrong.tsv", rows, head), sets)


def test_predictions_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes(b"image\ttext\n\xff\xfe\tx\n")
    with pytest.raises(DataError, match=r"a\.tsv:2: the line is not UTF-8"):
        Predictions(tmp_path / "a.tsv")
    (tmp_path / "empty.tsv").touch()
    with pytest.raises(DataError, match="its first line must name the columns"):
        Predictions(tmp_path / "empty.tsv")
    with pytest.raises(OSError, match="No such file"):
        Predictions(tmp_path / "gone.tsv")


@pytest.mark.parametrize(("label", "what"), [("other", "with two labels"), ("Exit", "once more")])
def test_an_image_that_a_folder_names_twice_is_told(tmp_path: Path, label: str, what: str) -> None:
    folder = write_folder(
        tmp_path / "folder", [("1.png", "Exit"), ("2.png", "Hotel"), ("1.png", label)]
    )
    with pytest.raises(
        DataError, match=rf"labels\.csv:4: 1\.png is named {what}, here and in line 2"
    ):
        score(Told(), [open_set(folder, "folder")], charset=CHARSET_36)


def test_sets_that_are_not_there_or_called_the_same(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in ("gone", "empty"):
        with pytest.raises(DataError, match="no words found"):
            open_set(tmp_path / path)
    with pytest.raises(ValueError, match="no shard"):
        open_set(tmp_path / "gone-{0..3}.tar")
    words = open_set(write_words(tmp_path / "lmdb", WORDS), "lmdb")
    with pytest.raises(DataError, match="two sets are called lmdb"):
        score(Told(), [words, words], charset=CHARSET_36)


def test_a_tar_that_is_cut_short_counts_as_far_as_it_goes(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "words.tar", WORDS)
    path.write_bytes(path.read_bytes()[: 4 * 2 * 1024])
    found = score(Told(), [open_set(path, "tar")], charset=CHARSET_36)
    assert 2 <= found["tar"].samples < 5


def test_a_set_without_words_has_a_row(tmp_path: Path) -> None:
    contents = {"x": ["x"], "none": []}
    sets = [open_set(write_words(tmp_path / name, one), name) for name, one in contents.items()]
    found = score(Told(), sets, charset=CHARSET_36, other_charsets=[CHARSET_94])
    assert {name: result.samples for name, result in found.items()} == {"x": 1, "none": 0}
    assert list(found.scores[CHARSET_94]) == ["x", "none"]


def test_nothing_is_left_of_an_evaluation_without_an_output(tmp_path: Path) -> None:
    found = score(
        Told(), [open_set(write_words(tmp_path / "lmdb", WORDS), "lmdb")], charset=CHARSET_36
    )
    path = found.folder / "samples.tsv"
    assert len(list(read_samples(path))) == 6
    folder = found.folder
    del found
    assert not folder.exists()
