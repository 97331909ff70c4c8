"""Published annotation formats to databases: labels, counts, and that each record holds its word's
pixels.
"""

import builtins
import json
import sys
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
import published_sets as sets
import pytest
from PIL import Image

from strhub.cli.data import run as run_data
from strhub.data.published import CONVERTERS, Notes, Source, large
from strhub.data.published.common import locate, to_polygon, unquote
from strhub.data.sources.lmdb import LmdbWords

Writer = Callable[[Path], sets.Published]
SCENE_SETS: list[tuple[str, Writer]] = [
    ("ic13", sets.ic13),
    ("ic13", sets.ic13_training),
    ("ic15", sets.ic15),
    ("mlt19", sets.mlt19),
    ("rctw17", sets.rctw17),
    ("uber-text", sets.uber_text),
    ("coco-text", sets.coco_text),
    ("coco-text", sets.coco_text_2),
    ("textocr", sets.textocr),
    ("openvino", sets.openvino),
    ("art", sets.art),
    ("lsvt", sets.art),
    ("rects", sets.rects),
    ("svt", sets.svt),
]
WORD_SETS: list[tuple[str, Writer]] = [
    ("ic13", sets.ic13_words),
    ("ic15", sets.ic13_words),
    ("mlt19", sets.mlt19_words),
    ("coco-text-words", sets.coco_text_words),
    ("word-list", sets.word_list),
    ("case-sensitive", sets.case_sensitive),
    ("art", sets.art_words),
    ("union14m", sets.union14m),
    ("union14m", sets.union14m_benchmark),
]
BOXES: set[Writer] = {
    sets.ic13,
    sets.ic13_training,
    sets.coco_text,
    sets.svt,
}  # formats with upright boxes only
POLYGONS: set[Writer] = {
    sets.uber_text,
    sets.coco_text_2,
    sets.textocr,
    sets.openvino,
    sets.art,
}  # with curved text


def run(
    name: str, published: sets.Published, output: Path, *options: str
) -> list[tuple[str, Image.Image]]:
    """Convert, and read what was written."""
    paths = [
        "--annotations",
        str(published.annotations),
        "--images",
        str(published.images),
        "--output",
        str(output),
    ]
    run_data(["convert", name, *paths, "--workers", "1", *published.options, *options])
    words = LmdbWords(output)
    assert not words.dropped
    records = [words.read(index) for index in range(len(words))]
    return [(label, image) for image, label in records]


def fraction(image: Image.Image, color: tuple[int, int, int]) -> float:
    """How much of an image has nearly this color, from 0 to 1."""
    return float(
        (np.abs(np.subtract(np.asarray(image).astype(int), color)).max(axis=2) <= 25).mean()
    )


def is_on(image: Image.Image, color: tuple[int, int, int]) -> bool:
    return fraction(image, color) > 0.75


def is_straight(word: sets.Rendered, writer: Writer, *, rectified: bool) -> bool:
    """Whether the crop is to hold the word and nothing beside it."""
    if word.label == "Curve":
        return rectified and writer in POLYGONS
    return word.label != 'two, "3"' or (rectified and writer not in BOXES)


def count(reported: str, reason: str) -> int:
    """How many were left out for a reason, as told on stderr."""
    return sum(
        int(line.split(" x ")[0].split()[-1])
        for line in reported.splitlines()
        if line.endswith(f" x {reason}")
    )


def ids(cases: list[tuple[str, Writer]]) -> list[str]:
    return [f"{name}-{getattr(writer, '__name__', 'scenes')}" for name, writer in cases]


@pytest.mark.parametrize("rectified", [False, True], ids=["box", "rectified"])
@pytest.mark.parametrize(("name", "writer"), SCENE_SETS, ids=ids(SCENE_SETS))
def test_scenes(
    name: str, writer: Writer, rectified: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published = writer(tmp_path)
    records = run(name, published, tmp_path / "lmdb", *(["--rectified"] if rectified else []))
    reported = capsys.readouterr().err

    assert [label for label, _ in records] == [word.label for word in sets.READABLE]
    for word, (_, image) in zip(sets.READABLE, records, strict=True):
        straight = is_straight(word, writer, rectified=rectified)
        assert fraction(image, word.color) > (0.75 if straight else 0.3), word
    assert count(reported, "missing image") == 1
    assert count(reported, "damaged annotation") == published.damaged
    unreadable = ("don't care (###)", "don't care (.)", "difficult", "illegible", "ignored")
    assert sum(count(reported, reason) for reason in unreadable) == 1
    assert f"{len(sets.READABLE)} words" in reported


@pytest.mark.parametrize(("name", "writer"), WORD_SETS, ids=ids(WORD_SETS))
def test_images_of_words(
    name: str, writer: Writer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published = writer(tmp_path)
    records = run(name, published, tmp_path / "lmdb")
    reported = capsys.readouterr().err
    assert [label for label, _ in records] == [word.label for word in sets.READABLE]
    assert all(
        is_on(image, word.color) for word, (_, image) in zip(sets.READABLE, records, strict=True)
    )
    assert all(image.size == (64, 24) for _, image in records)
    assert count(reported, "missing image") == 1
    assert count(reported, "damaged annotation") == published.damaged


def test_sizes_of_crops(tmp_path: Path) -> None:
    published = sets.art(tmp_path)
    boxes = dict(run("art", published, tmp_path / "boxes"))
    straight = dict(run("art", published, tmp_path / "straight", "--rectified"))
    wide = dict(run("art", published, tmp_path / "wide", "--margin", "0.1"))
    assert boxes["Hello"].size == straight["Hello"].size == (100, 40)
    assert straight['two, "3"'].size == (110, 40)
    left, top, right, bottom = sets.READABLE[1].box
    assert boxes['two, "3"'].size == (right - left, bottom - top)
    assert straight["Curve"].width > 2 * straight["Curve"].height
    assert wide["Hello"].size == (108, 48)


def test_files_of_words_are_kept_byte_for_byte(tmp_path: Path) -> None:
    import lmdb

    published = sets.word_list(tmp_path)
    run("word-list", published, tmp_path / "lmdb")
    with (
        lmdb.open(str(tmp_path / "lmdb"), lock=False, readonly=True) as database,
        database.begin() as transaction,
    ):
        assert (
            transaction.get(b"image-000000001") == (tmp_path / "image" / "word_1.png").read_bytes()
        )
        assert transaction.get(b"num-samples") == b"4"


def test_crops_of_lossless_images_are_png(tmp_path: Path) -> None:
    import lmdb

    for name, writer, start in (("ic15", sets.ic15, b"\x89PNG"), ("art", sets.art, b"\xff\xd8")):
        run(name, writer(tmp_path / name), tmp_path / name / "lmdb")
        with (
            lmdb.open(str(tmp_path / name / "lmdb"), lock=False) as database,
            database.begin() as transaction,
        ):
            assert transaction.get(b"image-000000001").startswith(start)


def test_several_processes_write_the_same(tmp_path: Path) -> None:
    published = sets.textocr(tmp_path)
    alone = run("textocr", published, tmp_path / "alone")
    together = run("textocr", published, tmp_path / "together", "--workers", "2")
    assert alone == together


def test_part_of_a_set(tmp_path: Path) -> None:
    published = sets.coco_text(tmp_path)
    assert [
        label for label, _ in run("coco-text", published, tmp_path / "val", "--split", "val")
    ] == ["Grüße"]


def test_one_language(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    published = sets.mlt19(tmp_path)
    path = published.annotations / "tr_img_00002.txt"
    path.write_bytes(path.read_bytes().replace(b"Latin", b"Arabic"))
    labels = [
        label for label, _ in run("mlt19", published, tmp_path / "lmdb", "--language", "LATIN")
    ]
    assert labels == [word.label for word in sets.READABLE[:3]]
    assert count(capsys.readouterr().err, "language Arabic") == 1


def test_level_of_characters(tmp_path: Path) -> None:
    records = run("rects", sets.rects(tmp_path), tmp_path / "lmdb", "--level", "chars")
    assert [label for label, _ in records] == ["Hello", "Grüße"]


def test_word_outside_of_its_image_is_listed_and_the_others_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published = sets.ic15(tmp_path)
    with (published.annotations / "gt_img_2.txt").open("ab") as file:
        file.write(b"900,10,950,10,950,30,900,30,away\r\n10,10,12,10,12,10,10,10,flat\r\n")
    problems = tmp_path / "problems.txt"
    records = run("ic15", published, tmp_path / "lmdb", "--problems", str(problems))
    assert [label for label, _ in records] == [word.label for word in sets.READABLE]
    assert count(capsys.readouterr().err, "scene with words that can't be cropped") == 1
    listed = problems.read_text("utf-8")
    assert "'away'" in listed
    assert "'flat'" in listed
    assert "gt_img_1.txt:5" in listed  # the damaged line
    assert "img_3" in listed  # the missing image


def test_damaged_image_and_undecodable_line_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published = sets.ic15(tmp_path)
    (published.images / "img_1.png").write_bytes(b"no picture")
    with (published.annotations / "gt_img_2.txt").open("ab") as file:
        file.write(b"1,1,2,1,2,2,1,2,\xff\xfe\r\n")
    assert [label for label, _ in run("ic15", published, tmp_path / "lmdb")] == ["Grüße"]
    reported = capsys.readouterr().err
    assert count(reported, "unreadable image") == 1
    assert count(reported, "not UTF-8") == 1


def test_vertical_words_are_turned_if_asked(tmp_path: Path) -> None:
    Image.new("RGB", (20, 60)).save(tmp_path / "tall.png")
    published = sets.Published(
        sets.write(tmp_path / "list.txt", "tall.png ab\ntall.png a\n"), tmp_path
    )
    assert [image.size for _, image in run("word-list", published, tmp_path / "as-is")] == [
        (20, 60)
    ] * 2
    turned = run("word-list", published, tmp_path / "turned", "--turn-vertical")
    assert [image.size for _, image in turned] == [(60, 20), (20, 60)]


@pytest.mark.parametrize(
    ("content", "separator"),
    [("a b.png\tx y", "tab"), ("a b.png,x y", "comma"), ('a b.png, "x y"', "comma")],
)
def test_separator_of_lists(content: str, separator: str, tmp_path: Path) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "a b.png")
    published = sets.Published(sets.write(tmp_path / "list.txt", content), tmp_path)
    records = run("word-list", published, tmp_path / "lmdb", "--separator", separator)
    assert [label for label, _ in records] == ["x y"]


def test_mjsynth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "2425" / "1"
    folder.mkdir(parents=True)
    Image.new("RGB", (90, 31), (200, 0, 0)).save(folder / "115_Lube_45484.jpg")
    (folder / "116_bad_1.jpg").write_bytes(b"")
    lines = (
        "./2425/1/115_Lube_45484.jpg 45484\n./2425/1/116_bad_1.jpg 1\n"
        "./2425/1/117_lost_1.jpg 1\nnonsense\n"
    )
    published = sets.Published(sets.write(tmp_path / "annotation_train.txt", lines), tmp_path)
    assert [label for label, _ in run("mjsynth", published, tmp_path / "lmdb")] == ["Lube"]
    reported = capsys.readouterr().err
    assert [
        count(reported, reason)
        for reason in ("unreadable image", "missing image", "no label in the name")
    ] == [1] * 3


def cells(values: list[Any]) -> "np.ndarray[Any, Any]":
    """A row of cells, as scipy reads it."""
    row = np.empty((1, len(values)), dtype=object)
    for index, value in enumerate(values):
        row[0, index] = value
    return row


def test_synthtext(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sets.draw_scenes(tmp_path / "8", "ballet_{}", ".jpg")
    corners = [np.array(word.quadrilateral).T for word in sets.SCENES[1]]  # (2, 4) each
    content = {
        "imnames": cells([np.array([f"8/ballet_{number}.jpg"]) for number in (1, 2, 2)]),
        # One word has no third dimension: MATLAB drops the last one if it is 1.
        "wordBB": cells(
            [np.stack(corners[:3], axis=2), np.array(sets.SCENES[2][0].polygon).T, corners[0]]
        ),
        "txt": cells(
            [np.array(["Hello\nround ", "Curve     "]), np.array(["word"]), np.array(["one two"])]
        ),
    }
    monkeypatch.setattr(large, "load_matlab", lambda path: content)
    published = sets.Published(sets.write(tmp_path / "gt.mat", ""), tmp_path)
    records = run("synthtext", published, tmp_path / "lmdb", "--rectified")
    assert [label for label, _ in records] == ["Hello", "round", "Curve", "word"]
    assert [is_on(records[index][1], sets.READABLE[index].color) for index in (0, 1, 3)] == [
        True
    ] * 3
    reported = capsys.readouterr().err
    assert count(reported, "damaged annotation") == 1
    assert "2 words and 1 boxes" in reported


def iiit5k(root: Path, monkeypatch: pytest.MonkeyPatch) -> sets.Published:
    """A MATLAB structure, as scipy reads it."""
    named = sets.draw_words(root / "test", "{}_1.png")
    entries = np.empty((1, len(named)), dtype=[("ImgName", object), ("GroundTruth", object)])
    for index, (name, label) in enumerate(named):
        entries[0, index] = (np.array([f"test/{name}"]), np.array([label.upper()]))
    monkeypatch.setattr(large, "load_matlab", lambda path: {"testdata": entries})
    return sets.Published(sets.write(root / "testdata.mat", ""), root)


def test_iiit5k(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = run("iiit5k", iiit5k(tmp_path, monkeypatch), tmp_path / "lmdb")
    assert [label for label, _ in records] == [word.label.upper() for word in sets.READABLE]
    assert all(
        is_on(image, word.color) for word, (_, image) in zip(sets.READABLE, records, strict=True)
    )


def test_iiit5k_with_labels_of_a_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    published = iiit5k(tmp_path, monkeypatch)
    labels = sets.write(
        tmp_path / "labels.csv", '1_1.png, Hello\ntest/2_1.png,"a, ""b"""\n3_1.png,c\n', bom=True
    )
    records = run("iiit5k", published, tmp_path / "lmdb", "--labels", str(labels))
    assert [label for label, _ in records] == ["Hello", 'a, "b"', "c"]
    assert "4_1.png is not in labels.csv" in capsys.readouterr().err


def test_matlab_files_without_scipy_name_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without_scipy(name: str, *rest: Any) -> Any:
        if name.startswith("scipy"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_scipy)
    sets.write(tmp_path / "testdata.mat", "")
    with pytest.raises(ValueError, match=r"strhub\[convert\]"):
        run("iiit5k", sets.Published(tmp_path / "testdata.mat", tmp_path), tmp_path / "lmdb")


def test_matlab_file_that_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def loadmat(path: Path) -> None:
        raise TypeError("Expected miMATRIX type here")

    monkeypatch.setitem(sys.modules, "scipy", type(sys)("scipy"))
    module = type(sys)("scipy.io")
    monkeypatch.setattr(module, "loadmat", loadmat, raising=False)
    monkeypatch.setitem(sys.modules, "scipy.io", module)
    with pytest.raises(ValueError, match=r"gt\.mat: not a MATLAB file .* Download it again"):
        large.load_matlab(tmp_path / "gt.mat")


@pytest.mark.parametrize(
    ("name", "annotations", "message"),
    [
        ("art", "missing.json", "there is no such file or folder"),
        ("art", "text.txt", "not a JSON file"),
        ("art", "list.json", "a JSON object is needed"),
        ("textocr", "other.json", "has no dict 'imgs'; is it a file of another data set"),
        ("svt", "text.txt", "not an XML file"),
        ("svt", "encoding.xml", "not an XML file: unknown encoding"),
        ("svt", "names.xml", "not an XML file: .*amplification"),
        ("rctw17", "text.txt", "not a folder"),
        ("rctw17", "empty", "holds no files"),
        ("case-sensitive", "text.txt", "not a folder"),
        ("word-list", "text.txt", "no word that could be used"),
    ],
)
def test_unusable_annotations_end_with_a_message(
    name: str, annotations: str, message: str, tmp_path: Path
) -> None:
    sets.write(tmp_path / "text.txt", "<nothing")
    sets.write(tmp_path / "list.json", "[]")
    sets.write(tmp_path / "encoding.xml", '<?xml version="1.0" encoding="utf-0"?><a/>')
    names = ['<!ENTITY n0 "word">']
    names += [f"<!ENTITY n{n} '{f'&n{n - 1};' * 10}'>" for n in range(1, 12)]
    sets.write(tmp_path / "names.xml", f"<!DOCTYPE a [{''.join(names)}]><a>&n11;</a>")
    sets.write(tmp_path / "other.json", "{}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=message):
        run(name, sets.Published(tmp_path / annotations, tmp_path), tmp_path / "lmdb")
    assert not (tmp_path / "lmdb").exists()


def test_without_any_image_nothing_is_written_and_the_reasons_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published = sets.ic15(tmp_path)
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="gave no record"):
        run("ic15", sets.Published(published.annotations, tmp_path / "none"), tmp_path / "lmdb")
    assert count(capsys.readouterr().err, "missing image") == 3


def test_existing_database_is_replaced_only_if_asked(tmp_path: Path) -> None:
    published = sets.ic15(tmp_path)
    run("ic15", published, tmp_path / "lmdb")
    with pytest.raises(ValueError, match="already exists"):
        run("ic15", published, tmp_path / "lmdb")
    assert len(run("ic15", published, tmp_path / "lmdb", "--overwrite")) == len(sets.READABLE)


def test_any_line_is_a_word_or_a_problem(tmp_path: Path) -> None:
    """Nothing that a line may hold ends a run."""
    rng = np.random.default_rng(0)
    signs = np.array(list('0123456789,.- \t"#\\xyz\u00e9\u2028[]{}:'))
    content = "\n".join("".join(rng.choice(signs, rng.integers(1, 40))) for _ in range(300))
    (tmp_path / "gt").mkdir()
    for name in ("file.txt", "gt/gt_1.txt"):
        sets.write(tmp_path / name, content)
    for name, path in [
        *((name, "gt") for name in ("ic13", "ic15", "mlt19", "rctw17", "uber-text")),
        *(
            (name, "file.txt")
            for name in ("ic13", "mlt19", "coco-text-words", "word-list", "mjsynth", "union14m")
        ),
    ]:
        notes = Notes()
        scenes = CONVERTERS[name].parse(Source(annotations=tmp_path / path, images=tmp_path), notes)
        lines = sum(bool(line.strip()) for line in content.split("\n"))
        assert sum(len(scene.words) for scene in scenes) + notes.left_out.total() == lines, name


JSON_VALUES = [
    None,
    1,
    "x",
    [],
    {},
    [1],
    {"1": 1},
    {"1": [1]},
    [[1]],
    {"points": None},
    float("inf"),
]


@pytest.mark.parametrize("name", ["coco-text", "textocr", "openvino", "art", "rects", "union14m"])
def test_any_json_is_words_or_problems(name: str, tmp_path: Path) -> None:
    """Whatever takes the place of one value of a document, nothing but a ValueError about the whole
    file is raised.
    """
    writer = {
        "coco-text": sets.coco_text_2,
        "textocr": sets.textocr,
        "openvino": sets.openvino,
        "art": sets.art,
        "rects": sets.rects,
        "union14m": sets.union14m_benchmark,
    }[name]
    published = writer(tmp_path)
    path = published.annotations
    if path.is_dir():
        path = sorted(path.iterdir())[0]
    document = json.loads(path.read_bytes().decode("utf-8-sig"))
    for keys in list(_entries(document)):
        for value in JSON_VALUES:
            path.write_text(json.dumps(_replaced(document, keys, value)), encoding="utf-8")
            # Only what is at the top makes the whole file one of another kind.
            with nullcontext() if len(keys) > 1 else suppress(ValueError):
                CONVERTERS[name].parse(
                    Source(annotations=published.annotations, images=tmp_path), Notes()
                )


def _entries(node: Any, keys: tuple[Any, ...] = ()) -> Any:
    """The first two of each collection, at any depth."""
    yield keys
    pairs = (
        list(node.items())
        if isinstance(node, dict)
        else list(enumerate(node))
        if isinstance(node, list)
        else []
    )
    for key, child in pairs[:2]:
        yield from _entries(child, (*keys, key))


def _replaced(node: Any, keys: tuple[Any, ...], value: Any) -> Any:
    if not keys:
        return value
    copy = dict(node) if isinstance(node, dict) else list(node)
    copy[keys[0]] = _replaced(node[keys[0]], keys[1:], value)
    return copy


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (' "a" ', "a"),
        ('"a, b"', "a, b"),
        (r'"\"a\" \\"', '"a" \\'),
        ('"', '"'),
        ('5"', '5"'),
        ('""', ""),
        ("", ""),
    ],
)
def test_unquote(text: str, expected: str) -> None:
    assert unquote(text) == expected


@pytest.mark.parametrize(
    "values", [[1, 2, 3, 4], [1] * 7, [1, 2, 3, 4, 5, "x"], [1, 2, 3, 4, 5, "inf"], [None] * 8]
)
def test_values_that_are_no_polygon(values: list[Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        to_polygon(values)


def test_images_are_found_by_path_by_name_and_without_suffix(tmp_path: Path) -> None:
    for name in ("a.jpg", "sub/b.png", "c.d.JPG"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert locate(tmp_path, "train/a.jpg") == str(tmp_path / "a.jpg")
    assert locate(tmp_path, "sub/b.png") == str(tmp_path / "sub" / "b.png")
    assert locate(tmp_path, "c.d") in (str(tmp_path / "c.d.JPG"), str(tmp_path / "c.d.jpg"))
    assert locate(tmp_path, "none") == str(tmp_path / "none")


def test_every_converter_has_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    for name in CONVERTERS:
        with pytest.raises(SystemExit, match="0"):
            run_data(["convert", name, "--help"])
        assert CONVERTERS[name].help in " ".join(capsys.readouterr().out.split())
    covered = {name for name, _ in SCENE_SETS + WORD_SETS} | {"mjsynth", "synthtext", "iiit5k"}
    assert covered == set(CONVERTERS)
