"""read.py --photo: where its images come from, what it prints, and which files it writes."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from strhub.cli.photo import _stems
from strhub.cli.read import run

ROOT = Path(__file__).parents[2]
DEMO = sorted((ROOT / "demo_images").glob("*.png"))


@pytest.fixture
def blank(tmp_path: Path) -> Path:
    path = tmp_path / "blank.png"
    Image.new("RGB", (40, 30), "gray").save(path)
    return path


def photo(*paths: Path | str, output: Path | None = None) -> int:
    return run(
        ["--photo", *map(str, paths), *([] if output is None else ["--output", str(output)])]
    )


def test_an_image_without_text_has_its_line_and_errors_go_to_stderr(
    blank: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert photo(blank, tmp_path / "absent.png") == 1
    out, err = capsys.readouterr()
    assert out == f"{blank}\t\t0.0000\n"
    assert "absent.png: unreadable: No such file" in err
    assert "1 of 2 images" in err


def test_images_of_one_name_in_several_folders_do_not_take_each_others_files(
    blank: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other" / "blank.png"
    other.parent.mkdir()
    Image.new("RGB", (50, 20), "gray").save(other)
    output = tmp_path / "read" / "deep"
    assert photo(blank, other, output=output) == 0
    assert sorted(path.name for path in output.iterdir()) == [
        "_job.json",
        "blank-2.png.json",
        "blank-2.png.png",
        "blank.png.json",
        "blank.png.png",
    ]
    sources = [
        json.loads((output / name).read_text())["source"]
        for name in ("blank.png.json", "blank-2.png.json")
    ]
    assert sources == [str(blank), str(other)]


@pytest.mark.parametrize(
    ("names", "stems"),
    [
        (["a/x.jpg", "b/X.jpg", "x-2.jpg"], ["x.jpg", "X-2.jpg", "x-2-2.jpg"]),
        (["-", "https://host/d/y.png?size=3", "http://host"], ["standard-input", "y.png", "image"]),
    ],
)
def test_names_of_files_are_unlike_in_any_case(names: Sequence[str], stems: Sequence[str]) -> None:
    assert _stems(names) == stems


def test_no_image_is_written_over(blank: Path, tmp_path: Path) -> None:
    before = blank.read_bytes()
    with pytest.raises(ValueError, match="write over the image"):
        photo(blank, output=blank)
    outlined_before = tmp_path / "blank"
    outlined_before.write_bytes(before)
    with pytest.raises(ValueError, match="write over the image"):
        photo(outlined_before, blank, output=tmp_path)
    assert blank.read_bytes() == before


def test_folders_of_files_are_made(blank: Path, tmp_path: Path) -> None:
    assert photo(blank, output=tmp_path / "new" / "page.json") == 0
    assert json.loads((tmp_path / "new" / "page.json").read_text())["size"] == [40, 30]


def test_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(DEMO[1].read_bytes())))
    assert photo("-") == 0
    assert capsys.readouterr().out.startswith("-\t")


def test_nothing_found(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no images found"):
        photo(tmp_path / "*.jpg")


def test_an_option_after_the_images_is_no_image(blank: Path) -> None:
    with pytest.raises(ValueError, match="refine_iters:int=2 has no effect with --photo"):
        run(["--photo", str(blank), "refine_iters:int=2"])


def scan(path: Path, count: int = 2) -> Path:
    pages = [Image.new("RGB", (60 + number, 40), "white") for number in range(count)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    return path


@pytest.mark.parametrize("suffix", [".pdf", ".tiff"])
def test_documents_are_read_page_by_page(
    suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "scans"
    folder.mkdir()
    path = scan(folder / f"scan{suffix}")
    (folder / "damaged.pdf").write_bytes(b"%PDF-1.7 no")
    assert photo(folder, output=tmp_path / "read") == 1
    out, err = capsys.readouterr()
    assert out.count(f"{path}\t\t0.0000\n") == 2
    assert "damaged.pdf: unreadable: damaged PDF" in err
    assert sorted(one.name for one in (tmp_path / "read").iterdir()) == [
        "_job.json",
        f"scan{suffix}.json",
        f"scan{suffix}.p001.png",
        f"scan{suffix}.p002.png",
    ]
    pages = json.loads((tmp_path / "read" / f"scan{suffix}.json").read_text())
    assert [page["number"] for page in pages] == [1, 2]


def test_a_folder_is_resumed_where_it_was_stopped(
    blank: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "read"
    assert photo(blank, DEMO[0], output=output) == 0
    (output / "blank.png.json").unlink()  # as if it was stopped before
    capsys.readouterr()
    assert photo(blank, DEMO[0], output=output) == 0
    out, err = capsys.readouterr()
    assert out == f"{blank}\t\t0.0000\n"
    assert f"1 images were in {output} already" in err
    with pytest.raises(ValueError, match="another model"):
        run(["strhub-tiny", "--photo", str(blank), "--output", str(output)])


def test_several_images_are_one_pdf_but_not_one_drawing(blank: Path, tmp_path: Path) -> None:
    target = tmp_path / "all.pdf"
    assert photo(DEMO[0], scan(tmp_path / "scan.tiff"), blank, output=target) == 0
    assert target.read_bytes().count(b"/Type /Page ") == 4
    with pytest.raises(ValueError, match="2 pages: name a folder"):
        photo(tmp_path / "scan.tiff", output=tmp_path / "page.png")


@pytest.mark.parametrize("suffix", ["txt", "json", "tsv", "html", "xml", "md"])
def test_a_document_is_one_file_in_any_format(suffix: str, tmp_path: Path) -> None:
    from xml.etree import ElementTree

    target = tmp_path / f"page.{suffix}"
    assert photo(scan(tmp_path / "scan.tiff", 3), output=target) == 0
    content = target.read_text("utf-8")
    if suffix == "json":
        assert [page["number"] for page in json.loads(content)] == [1, 2, 3]
    elif suffix == "tsv":
        assert content.count("\n") == 1, "the header alone"
    elif suffix in ("html", "xml"):
        assert len(list(ElementTree.fromstring(content).iter())) > 6
        assert content.count("ocr_page" if suffix == "html" else "<Page ") in (3, 4)
    elif suffix == "txt":
        assert content.count("\f") == 2


@pytest.mark.parametrize("as_json", [False, True])
def test_bulk_reading_takes_photographs(as_json: bool, blank: Path, tmp_path: Path) -> None:
    from pyarrow import parquet

    output = tmp_path / "readings"
    (tmp_path / "damaged.png").write_bytes(b"none")
    command = ["--photo", str(tmp_path), str(DEMO[1]), "--engine", "plain"]
    command += ["--output", str(output), "--threads", "1", *(["--json"] if as_json else [])]
    for _ in range(2):
        assert run(command) == 1
        table = parquet.read_table(output).to_pylist()
        assert len(table) == 3
    rows = {Path(row["source"]).name: row for row in table}
    assert rows["damaged.png"]["error"]
    assert rows["blank.png"]["confidence"] == 0
    text = rows[DEMO[1].name]["text"]
    if as_json:
        page = json.loads(text)
        assert page["paragraphs"][0]["lines"][0]["words"][0]["quad"]
        text = page["text"]
    assert text
    with pytest.raises(ValueError, match="holds"):
        run([word for word in command if word != "--json"] if as_json else [*command, "--json"])
    with pytest.raises(ValueError, match="needs --output"):
        run(["--photo", str(blank), "--engine", "plain"])


def test_former_names_of_options_do_not_count_as_given() -> None:
    from strhub.cli.read_parser import build_parser

    parser = build_parser()
    args = parser.parse_intermixed_args(["--images", "a.png"])
    changed = [name for name, value in vars(args).items() if value != parser.get_default(name)]
    assert [name for name in changed if name != "words"] == ["images"]
