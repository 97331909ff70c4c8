"""Files of annotations, whole and damaged: what is read, and what is said about the rest."""

import csv
import json
import time
import unicodedata
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from strhub.data.sources.annotations import Annotation, Annotations
from strhub.errors import DataError

Form = Literal["NFC", "NFD"]


def pairs(annotations: Annotations) -> list[tuple[str, str]]:
    return [(annotation.image, annotation.label) for annotation in annotations]


def of_text(folder: Path, name: str, text: str | bytes) -> Annotations:
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return Annotations(folder / name)


def original(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 3)).save(path)


# Tables


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "a.png,one\nsub/b.png,two\n"),
        ("a.csv", "a.png,one\r\nsub/b.png,two"),
        ("a.csv", "\ufefffilename,label\na.png,one\n\nsub\\b.png,two\n"),
        ("a.csv", '"Label","Other","Path"\none,7,a.png\n"two",8,"sub/b.png"\n'),
        ("a.CSV", "image,words,set\na.png, one ,x\nsub/b.png,two,y\n"),
        ("a.tsv", "a.png\tone\nsub/b.png\ttwo\n"),
        ("a.tsv", "text\tfile\none\ta.png\ntwo\tsub/b.png\n"),
        (
            "a.jsonl",
            '{"image": "a.png", "text": "one"}\n{"label": " two", "path": "sub/b.png", "x": [1]}\n',
        ),
        ("gt.txt", 'a.png, "one"\nsub/b.png, "two"\n'),
        ("gt.txt", "\ufeffa.png\tone\nsub/b.png\ttwo\n"),
        ("gt.txt", 'a.png,one\nsub/b.png,"two"'),
    ],
)
def test_every_form_says_the_same(tmp_path: Path, name: str, text: str) -> None:
    annotations = of_text(tmp_path, name, text)
    assert pairs(annotations) == [("a.png", "one"), ("sub/b.png", "two")]
    assert not annotations.skipped
    assert annotations.images == tmp_path
    assert pairs(annotations) == [("a.png", "one"), ("sub/b.png", "two")], "it can be read again"


def test_separators_and_quotes_in_labels(tmp_path: Path) -> None:
    rows = [("a.png", 'say "hi"'), ("b.png", "1,5"), ("c.png", "it's"), ("d.png", '"')]
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    assert pairs(Annotations(tmp_path / "a.csv")) == rows
    assert (
        pairs(of_text(tmp_path, "a.tsv", "".join(f"{path}\t{label}\n" for path, label in rows)))
        == rows
    )
    lines = "".join(json.dumps({"file": path, "words": label}) + "\n" for path, label in rows)
    assert pairs(of_text(tmp_path, "a.jsonl", lines)) == rows
    text = 'a.png, "say \\"hi\\""\nb.png\t1,5\nc.png, "it\'s"\nd.png, ""\ne.png, "\n'
    assert pairs(of_text(tmp_path, "gt.txt", text)) == [*rows[:3], ("d.png", ""), ("e.png", '"')]


def test_line_numbers_and_places(tmp_path: Path) -> None:
    annotations = of_text(tmp_path, "a.csv", "path,label\n\nx.png,one\n")
    assert list(annotations) == [Annotation("x.png", "one", 3)]
    assert annotations.where(Annotation("x.png", "one", 3)) == f"{tmp_path / 'a.csv'}:3: x.png"
    assert annotations.path(Annotation("x.png", "one", 3)) == tmp_path / "x.png"
    elsewhere = Annotations(tmp_path / "a.csv", images=tmp_path / "..")
    assert elsewhere.path(Annotation("x.png", "one", 3)) == tmp_path / ".." / "x.png"
    assert annotations.path(Annotation(str(tmp_path / "y.png"), "", 3)) == tmp_path / "y.png"


DAMAGED = {
    "a.csv": (
        b'a.png,one\nb.png\nc.png,"open\nd.png,5,5\n\xff.png,x\n,empty\n"e.png"x,y\nf.png,six\n',
        ["2: one column only", "3: not CSV: unexpected end", "4: 3 columns, not 2 as in the first "
                                                             "line; put a label",
         "5: the line is not UTF-8", "6: it names no image", "7: not CSV: "],
    ),
    "a.tsv": (
        b"a.png\tone\nb.png\nd.png\tx\ty\nc.png\t\xff\n\tx\nf.png\tsix\n",
        ["2: one column only", "3: 3 columns, not 2", "4: the line is not UTF-8", "5: it names no "
                                                                                  "image"],
    ),
    "a.jsonl": (
        b'{"file": "a.png", "text": "one"}\n{"file": "b.png"\n[1]\n'
        b'{"file": "c.png", "text": 7}\n{"text": "x"}\n'
        b'{"file": 7, "text": "x"}\n"\xff"\n'
        + b"[" * 100_000
        + b'\n{"file": "f.png", "text": "six"}\n',
        ["2: not JSON: ", "3: not an object", "4: no texts under one of filename, ", "5: no texts",
            "6: no texts",
         "7: the line is not UTF-8", "8: not JSON: "],
    ),
    "gt.txt": (
        b'a.png, "one"\nb.png"two"\n, "three"\n\xff\xff, "x"\nf.png, "six"\n',
        ["2: no tab, comma or blank", "3: it names no image", "4: the line is not UTF-8"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_bad_lines_are_counted_listed_and_left_out(tmp_path: Path, name: str) -> None:
    text, problems = DAMAGED[name]
    annotations = of_text(tmp_path, name, text)
    assert pairs(annotations) == [("a.png", "one"), ("f.png", "six")]
    assert len(annotations.problems) == len(problems)
    for found, problem in zip(annotations.problems, problems, strict=True):
        assert found.startswith(f"{tmp_path / name}:{problem}")
    undecodable = sum("UTF-8" in problem for problem in problems)
    assert annotations.skipped == Counter(
        {"bad line": len(problems) - undecodable, "not UTF-8": undecodable}
    )


@given(st.binary(max_size=300), st.sampled_from(["csv", "tsv", "jsonl", "gt"]))
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, form: str
) -> None:
    file = tmp_path_factory.getbasetemp() / "any"
    file.write_bytes(content)
    annotations = Annotations(file, form=form)
    with suppress(ValueError):  # UTF-16, or half a header
        found = list(annotations)
        end = b"\n" if b"\n" in content else b"\r"
        lines = [line for line in content.removeprefix(b"\xef\xbb\xbf").split(end) if line.strip()]
        assert len(found) + annotations.skipped.total() in (len(lines), len(lines) - 1)
        assert all(annotation.image.strip() for annotation in found)


def test_files_that_can_not_be_understood(tmp_path: Path) -> None:
    for text in ("path,reading\n1.png,x\n", "id,label\n1,x\n"):
        with pytest.raises(
            ValueError, match=r"a\.csv: the first line looks like a header, .*filename, .*label"
        ):
            list(of_text(tmp_path, "a.csv", text))
    with pytest.raises(ValueError, match="is UTF-16: save it as UTF-8"):
        list(of_text(tmp_path, "a.csv", "a.png,b\n".encode("utf-16")))
    with pytest.raises(ValueError, match="name its format, one of"):
        of_text(tmp_path, "a.xlsx", "")
    with pytest.raises(ValueError, match="no such file or folder"):
        Annotations(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="unknown format 'xml'"):
        Annotations(tmp_path, form="xml")
    with pytest.raises(ValueError, match="unknown rule 'infix' for names"):
        Annotations(tmp_path, form="names", name_rule="infix")
    with pytest.raises(ValueError, match="is a file: the format txt is for a folder"):
        Annotations(tmp_path / "a.csv", form="txt")
    with pytest.raises(ValueError, match="nowhere: there is no such folder of images"):
        Annotations(tmp_path / "a.csv", images=tmp_path / "nowhere")


def test_first_label_that_is_a_columns_name_is_no_header(tmp_path: Path) -> None:
    assert pairs(of_text(tmp_path, "a.csv", "a.png,text\nb.png,two\n")) == [
        ("a.png", "text"),
        ("b.png", "two"),
    ]


def test_a_million_lines_in_seconds(tmp_path: Path) -> None:
    annotations = of_text(
        tmp_path, "a.csv", "".join(f"sub/{number}.jpg,word{number}\n" for number in range(200_000))
    )
    start = time.process_time()
    assert sum(1 for _ in annotations) == 200_000
    assert time.process_time() - start < 20  # 0.4 where nothing else runs, hours by the square


# Files as other programs and people write them


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "a.png,1,5\r".replace("1,5", '"1,5"') + 'b.png,"say ""hi"""\r'),
        ("a.csv", 'a.png;1,5\r\nb.png;"say ""hi"""\r\n'),
        (
            "a.csv",
            'filename;words\na.png;1,5\nb.png;say "hi"\n'.replace('say "hi"', '"say ""hi"""'),
        ),
        ("a.csv", 'sep=;\nlabel;path\n1,5;a.png\n"say ""hi""";b.png\n'),
        ("a.csv", 'a.png\t1,5\nb.png\t"say ""hi"""\n'),
        ("a.tsv", 'a.png\t1,5\nb.png\t"say ""hi"""\n'),
        ("a.tsv", '"image"\t"gt"\n"a.png"\t"1,5"\n"b.png"\t"say ""hi"""\n'),
        ("gt.txt", 'filename,label\na.png,1,5\nb.png,say "hi"\n'),
        ("gt.txt", 'image\ttext\ra.png\t1,5\rb.png\tsay "hi"'),
        ("gt.txt", 'a.png 1,5\nb.png say "hi"\n'),
        ("gt.txt", 'a.png;1,5\nb.png;  say "hi"\n'),
        ("labels.txt", 'a.png   1,5\nb.png\tsay "hi"\n'),
        ("labels.json", '{"a.png": "1,5", "b.png": "say \\"hi\\""}'),
        (
            "a.json",
            '[{"filename": "a.png", "text": "1,5"}, '
            '{"filename": "b.png", "label": "say \\"hi\\""}]',
        ),
        (
            "train.json",
            '{"metainfo": {"task_name": "textrecog"}, "data_list": ['
            '{"img_path": "a.png", "instances": [{"text": "1,5"}]}, '
            '{"img_path": "b.png", "instances": [{"text": "say \\"hi\\""}]}]}',
        ),
    ],
)
def test_what_other_programs_write(tmp_path: Path, name: str, text: str) -> None:
    annotations = of_text(tmp_path, name, text)
    assert pairs(annotations) == [("a.png", "1,5"), ("b.png", 'say "hi"')]
    assert not annotations.skipped


def test_words_photographed_in_quotes_keep_them(tmp_path: Path) -> None:
    assert pairs(of_text(tmp_path, "a.tsv", 'a.png\t"hi"\nb.png\t"\nc.png\t""\n')) == [
        ("a.png", '"hi"'),
        ("b.png", '"'),
        ("c.png", '""'),
    ]


def test_blanks_and_commas_in_paths_and_labels(tmp_path: Path) -> None:
    text = (
        "my cat.png a b\nmy cat.png,a b.png\nsub dir/x.JPG hello, world.png\n"
        "no_suffix,a b\nword_1\tx.png y\n"
    )
    assert pairs(of_text(tmp_path, "gt.txt", text)) == [
        ("my cat.png", "a b"),
        ("my cat.png", "a b.png"),
        ("sub dir/x.JPG", "hello, world.png"),
        ("no_suffix", "a b"),
        ("word_1", "x.png y"),
    ]


def test_entries_of_json_that_are_of_no_use_are_counted(tmp_path: Path) -> None:
    several = {"img_path": "c.png", "instances": [{"text": "x"}, {"text": "y"}]}
    data = {
        "data_list": [
            {"img_path": "a.png", "instances": [{"text": "one"}]},
            several,
            {"img_path": "d.png"},
            7,
        ]
    }
    annotations = of_text(tmp_path, "a.json", json.dumps(data))
    assert pairs(annotations) == [("a.png", "one")]
    assert annotations.skipped == Counter({"bad entry": 3})
    assert (
        annotations.problems[0]
        == f"{tmp_path / 'a.json'}: entry 2: 2 instances, not the one word of a word's image"
    )
    annotations = of_text(
        tmp_path, "a.json", '{"a.png": "one", "b.png": {"polygons": []}, "": "x", "a.png": "again"}'
    )
    assert pairs(annotations) == [("a.png", "one"), ("a.png", "again")]
    assert annotations.skipped == Counter({"bad entry": 2})
    for text in ("7", "{", "[" * 100_000):
        with pytest.raises(DataError, match=r"a\.json is not a JSON file of labels"):
            list(of_text(tmp_path, "a.json", text))


def test_images_of_doctr_lie_in_a_folder_of_their_own(tmp_path: Path) -> None:
    original(tmp_path / "images" / "a.png")
    (tmp_path / "labels.json").write_text('{"a.png": "one"}')
    annotations = Annotations(tmp_path)
    assert [annotations.path(annotation) for annotation in annotations] == [
        tmp_path / "images" / "a.png"
    ]
    (tmp_path / "labels.json").write_text('{"images/a.png": "one"}')
    annotations = Annotations(tmp_path)
    assert [annotations.path(annotation) for annotation in annotations] == [
        tmp_path / "images" / "a.png"
    ]


@pytest.mark.parametrize(("on_disk", "in_file"), [("NFD", "NFC"), ("NFC", "NFD"), ("NFC", "NFC")])
def test_names_in_either_form_of_unicode(tmp_path: Path, on_disk: Form, in_file: Form) -> None:
    stored = unicodedata.normalize(on_disk, "Grüße/é.png")
    original(tmp_path / stored)
    annotations = of_text(tmp_path, "gt.txt", unicodedata.normalize(in_file, "Grüße/é.png\tone"))
    assert [annotations.path(annotation).exists() for annotation in annotations] == [True]
    assert annotations.path(Annotation("nö.png", "", 1)) == tmp_path / "nö.png"


def test_a_line_without_end_takes_no_memory(tmp_path: Path) -> None:
    annotations = of_text(tmp_path, "gt.txt", b"x" * (5 << 20) + b"\na.png\tone\n")
    assert pairs(annotations) == [("a.png", "one")]
    assert annotations.skipped["bad line"] == 1


# Folders


def test_folder_is_read_by_what_is_in_it(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"has no annotations: looked for labels\.csv, .*--format names"
    ):
        Annotations(tmp_path)
    original(tmp_path / "one_1.png")
    with pytest.raises(ValueError, match="has no annotations"):  # a name may be no label at all
        Annotations(tmp_path)
    (tmp_path / "one_1.txt").write_text("by text\n")
    assert Annotations(tmp_path).form == "txt"
    (tmp_path / "other.jsonl").write_text('{"file": "one_1.png", "text": "by line"}')
    assert Annotations(tmp_path).source == tmp_path / "other.jsonl"
    (tmp_path / "more.tsv").write_text("one_1.png\tby tab")
    with pytest.raises(
        ValueError, match=r"has 2 files of annotations: name the one to read, such as more\.tsv"
    ):
        Annotations(tmp_path)
    assert Annotations(tmp_path, form="tsv").source == tmp_path / "more.tsv"
    (tmp_path / "labels.csv").write_text("one_1.png,by table")
    assert pairs(Annotations(tmp_path)) == [("one_1.png", "by table")]
    (tmp_path / "gt.txt").write_text("one_1.png,by gt")
    with pytest.raises(ValueError, match=r"has labels\.csv and gt\.txt: keep one"):
        Annotations(tmp_path)
    assert pairs(Annotations(tmp_path, form="gt")) == [("one_1.png", "by gt")]
    assert pairs(Annotations(tmp_path, form="names")) == [("one_1.png", "one")]
    assert pairs(Annotations(tmp_path, form="txt")) == [("one_1.png", "by text")]


def test_text_files_beside_images(tmp_path: Path) -> None:
    for name in (
        "b.PNG",
        "a.jpg",
        "sub/c.png",
        "._a.png",
        ".hidden/d.png",
        "none.png",
        "two.png",
        "bad.png",
    ):
        original(tmp_path / name)
    for name, text in {
        "b": b"bee",
        "a": b"\xef\xbb\xbf ay\r\n",
        "sub/c": b"",
        "two": b"1\n2",
        "bad": b"\xff",
    }.items():
        (tmp_path / f"{name}.txt").write_bytes(text)
    annotations = Annotations(tmp_path)
    assert pairs(annotations) == [("a.jpg", "ay"), ("b.PNG", "bee"), (str(Path("sub/c.png")), "")]
    assert annotations.skipped == Counter({"no label": 3})
    bad, none, two = annotations.problems
    assert bad.startswith(f"{tmp_path / 'bad.png'}: ")
    assert bad.endswith("bad.txt is not UTF-8")
    assert "none.txt: No such file" in none
    assert two.endswith("two.txt has more than one line")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "two.txt").write_text("apart")
    apart = Annotations(tmp_path / "texts", form="txt", images=tmp_path)
    assert pairs(apart) == [("two.png", "apart")]


@pytest.mark.parametrize(
    ("rule", "names", "labels", "skipped"),
    [
        (
            "suffix",
            ["word_0001", "two_words_7", "plain", "_5", "a_b"],
            ["", "a_b", "plain", "two_words", "word"],
            0,
        ),
        ("prefix", ["0001_word", "7_two_words", "plain"], ["word", "two_words"], 1),
        ("middle", ["12_word_345", "1_a_b_2", "12_word"], ["word", "a_b"], 1),
    ],
)
def test_names(
    tmp_path: Path, rule: str, names: list[str], labels: list[str], skipped: int
) -> None:
    for name in names:
        original(tmp_path / f"{name}.jpg")
    annotations = Annotations(tmp_path, form="names", name_rule=rule)
    assert sorted(label for _, label in pairs(annotations)) == sorted(labels)
    assert annotations.skipped.total() == skipped
    assert all(
        f"the name does not follow the rule '{rule}'" in problem for problem in annotations.problems
    )


@pytest.mark.parametrize("form", ["gt", "csv", "jsonl"])
def test_a_line_over_a_mebibyte_is_one_bad_line(tmp_path: Path, form: str) -> None:
    """Its end is no line of its own, whatever stands there."""
    lines = {
        "gt": "{}.png\t{}\n",
        "csv": "{}.png,{}\n",
        "jsonl": '{{"image": "{}.png", "text": "{}"}}\n',
    }[form]
    long = "x" * ((3 << 20) + 17)
    content = [lines.format("a", "word"), lines.format("b", long), lines.format("c", "more")]
    (tmp_path / f"labels.{form}").write_text("".join(content), "utf-8")
    annotations = Annotations(tmp_path / f"labels.{form}", form=form)
    assert [found.label for found in annotations] == ["word", "more"]
    assert annotations.skipped == {"bad line": 1}
    assert "over 1 MiB" in annotations.problems[0]
