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
        "blank-2.png.json", "blank-2.png.png", "blank.png.json", "blank.png.png",
    ]  # fmt: skip
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
    with pytest.raises(ValueError, match="refine_iters:int=2 has no use with --photo"):
        run(["--photo", str(blank), "refine_iters:int=2"])
