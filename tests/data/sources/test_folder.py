"""Words read from a folder of images: those of an LMDB made of it, with what is wrong named by file
and line.
"""

import logging
import pickle
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from strhub.data.sources.dataset import UnreadableRecord, WordSource
from strhub.data.sources.folder import FolderWords, find_annotated
from strhub.data.sources.lmdb import write_lmdb
from strhub.text import CHARSET_36, LabelPreparation


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Three good images and five bad lines."""
    folder = tmp_path / "shop"
    (folder / "crops").mkdir(parents=True)
    for number in range(3):
        Image.new("RGB", (12 - number * 4, 6), (number, 2, 3)).save(
            folder / "crops" / f"{number}.png"
        )
    (folder / "crops" / "damaged.png").write_bytes(b"no picture")
    lines = [
        "path,label",
        "crops/0.png,Zero",
        "crops/1.png,ONE",
        "crops/damaged.png,dam",
        "crops/none.png,gone",
        "crops/2.png,Two",
        "crops/2.png,中",
        "crops/2.png,",
        "odd\0.png,odd",
        "broken",
    ]
    (folder / "labels.csv").write_text("\n".join(lines), "utf-8")
    return folder


def test_reads_what_can_be_read(shop: Path, caplog: pytest.LogCaptureFixture) -> None:
    prepare = LabelPreparation(CHARSET_36, max_length=None)
    words: WordSource = FolderWords(shop, prepare_label=prepare)
    assert isinstance(words, FolderWords)
    assert words.labels == ["zero", "one", "dam", "gone", "two", "odd"]
    assert words.dropped == Counter({"outside the charset": 1, "empty": 1, "bad line": 1})
    assert len(words) == 6
    for index, number in ((0, 0), (1, 1), (4, 2)):
        image, label = words.read(index)
        assert (image.mode, image.size, label) == ("RGB", (12 - number * 4, 6), words.labels[index])
        assert image.getpixel((0, 0)) == (number, 2, 3)
    assert caplog.record_tuples == [
        (
            "strhub.data.sources.folder",
            logging.WARNING,
            f"{shop / 'labels.csv'}: 1 left out for want of a path or label, such as "
            f"{shop / 'labels.csv'}:10: one column only, not a path and a label",
        )
    ]


def test_unreadable_images_are_named_by_line(shop: Path) -> None:
    words = FolderWords(shop / "labels.csv", min_image_dim=5)
    assert words.labels == ["Zero", "ONE", "dam", "gone", "Two", "中", "", "odd"]
    for index, message in (
        (2, "labels.csv:4: crops/damaged.png: not an image in any known format"),
        (3, "labels.csv:5: crops/none.png: No such file"),
        (4, "labels.csv:6: crops/2.png: 4x6 pixels are under the minimum side of 5"),
        (7, "labels.csv:9: odd\0.png: .*embedded null"),
    ):
        with pytest.raises(UnreadableRecord, match=message) as caught:
            words.read(index)
        assert caught.value.label == words.labels[index]
    for index in (-1, 8):
        with pytest.raises(IndexError, match=f"no record {index} in .*it has 8"):
            words.read(index)


def test_copy_for_a_worker_process_reads_the_same(shop: Path) -> None:
    words = FolderWords(shop)
    copy = pickle.loads(pickle.dumps(words))
    assert copy.labels == words.labels
    assert copy.read(1)[0].tobytes() == words.read(1)[0].tobytes()


def test_finds_annotation_files(shop: Path, tmp_path: Path) -> None:
    assert find_annotated(tmp_path) == find_annotated(shop) == [shop / "labels.csv"]
    assert find_annotated(tmp_path / "nowhere") == []
    write_lmdb(tmp_path / "made", [(b"", "")])
    (tmp_path / "made" / "gt.txt").touch()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "gt.txt").touch()
    (shop / "crops" / "other.csv").touch()
    (shop / "crops" / "up").symlink_to(tmp_path)
    assert find_annotated(tmp_path) == [shop / "labels.csv"]
    (shop / "crops" / "labels.tsv").touch()
    assert find_annotated(tmp_path) == [shop / "crops" / "labels.tsv", shop / "labels.csv"]
    (shop / "labels.jsonl").touch()
    with pytest.raises(ValueError, match=r"shop has labels\.csv and labels\.jsonl: keep one"):
        find_annotated(tmp_path)
