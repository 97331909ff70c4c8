"""Which files are images: every usual suffix, no folder twice, and not what macOS leaves beside
others.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from strhub.images.find import SUFFIXES, find_images
from strhub.images.open import open_image
from strhub.utils.folders import walk_folders


def test_links_that_lead_round_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for target in (tmp_path / "a.png", tmp_path / "deep" / "b.png"):
        target.touch()
    for number in range(3):  # two are enough for 2^40 ways
        (tmp_path / f"self{number}").symlink_to(".")
        (tmp_path / "deep" / f"up{number}").symlink_to("..")
    assert [path.name for path in find_images([str(tmp_path)])] == ["a.png", "b.png"]
    assert len(list(walk_folders(tmp_path))) == 2


def test_links_to_folders_elsewhere_are_followed_once(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "a.png").touch()
    (tmp_path / "set").mkdir()
    for name in ("x", "y"):
        (tmp_path / "set" / name).symlink_to(tmp_path / "store")
    assert find_images([str(tmp_path / "set")]) == [tmp_path / "set" / "x" / "a.png"]


def test_what_macos_leaves_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "._a.png").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "._kept.png")  # it is one
    names = ["._kept.png", "a.png"]
    assert [path.name for path in find_images([str(tmp_path)])] == names
    assert [path.name for path in find_images([f"{tmp_path}/*.png"])] == names
    assert [path.name for path in find_images([f"{tmp_path}/._a.png"])] == ["._a.png"], (
        "named, it is reported"
    )


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_every_suffix_that_is_found_can_be_read(suffix: str, tmp_path: Path) -> None:
    Image.init()
    kind = Image.registered_extensions().get(
        suffix, {".jpc": "JPEG2000", ".pnm": "PPM"}.get(suffix)
    )
    if suffix == ".avif" and kind is None:
        pytest.skip("this Pillow has no AVIF")
    image = Image.new("1" if suffix == ".pbm" else "RGB", (40, 20))
    image.save(tmp_path / f"a{suffix.upper()}", kind)
    (found,) = find_images([str(tmp_path)])
    assert open_image(found).size == (40, 20)
