"""LMDB data sets: what is written is read, what is damaged is named, and processes don't get in
each other's way.
"""

import io
import multiprocessing
import os
import pickle
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import lmdb
import numpy as np
import pytest
from PIL import Image

from strhub.data.curation.scan import scan
from strhub.data.sources.lmdb import LmdbWords, UnreadableRecord, find_lmdbs, write_lmdb
from strhub.data.sources.lmdb_format import LmdbFile
from strhub.text.charset import DroppedLabel


def original(number: int, size: tuple[int, int] = (12, 6)) -> Image.Image:
    return Image.new("RGB", size, (number % 256, 255 - number % 256, 7))


def encoded(image: Image.Image, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


def write_raw(path: Path, pairs: dict[str, bytes]) -> Path:
    path.mkdir(parents=True)
    with (
        lmdb.open(str(path), map_size=1 << 24, lock=False) as environment,
        environment.begin(write=True) as transaction,
    ):
        for key, value in pairs.items():
            transaction.put(key.encode(), value)
    return path


def write_words(path: Path, count: int = 5) -> Path:
    assert (
        write_lmdb(path, ((original(number), f"word{number}") for number in range(count))) == count
    )
    return path


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be of that size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


def short(label: str) -> str:
    if not label:
        raise DroppedLabel("empty", label)
    if len(label) > 6:
        raise DroppedLabel("too long", label)
    return label.lower()


# Reading


def test_reads_what_was_written(tmp_path: Path) -> None:
    words = LmdbWords(write_words(tmp_path / "words"))
    assert len(words) == 5
    assert not words.dropped
    for index in range(5):
        image, label = words.read(index)
        assert (image.mode, image.size, label) == ("RGB", (12, 6), f"word{index}")
        assert image.tobytes() == original(index).tobytes()
    for index in (-1, 5):
        with pytest.raises(IndexError, match=f"no record {index} in .*words: it has 5"):
            words.read(index)


def test_format_is_that_of_the_field(tmp_path: Path) -> None:
    write_lmdb(tmp_path / "words", [(b"anything", "Straße"), (original(1), "中文")])
    with (
        lmdb.open(str(tmp_path / "words"), readonly=True, lock=False) as environment,
        environment.begin() as transaction,
    ):
        pairs = dict(transaction.cursor())
    assert pairs.pop(b"image-000000002")[:4] == b"\x89PNG"
    assert pairs == {
        b"num-samples": b"2",
        b"image-000000001": b"anything",
        b"label-000000001": "Straße".encode(),
        b"label-000000002": "中文".encode(),
    }
    assert sorted(item.name for item in (tmp_path / "words").iterdir()) == ["data.mdb"]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    image = Image.new(mode, (5, 4))
    form = "TIFF" if mode == "CMYK" else "PNG"
    write_lmdb(tmp_path / "words", [(encoded(image, form), "a"), (image, "b")])
    words = LmdbWords(tmp_path / "words")
    assert [words.read(index)[0].mode for index in range(2)] == ["RGB", "RGB"]


def test_palette_with_transparency(tmp_path: Path) -> None:
    image = Image.new("P", (3, 2))
    image.putpalette([10, 20, 30, 40, 50, 60])
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=b"\x80\xff")
    write_lmdb(tmp_path / "words", [(buffer.getvalue(), "a")])
    assert LmdbWords(tmp_path / "words").read(0)[0].getpixel((0, 0)) == (
        132,
        137,
        142,
    )  # half its color, half white


def test_one_pixel(tmp_path: Path) -> None:
    write_lmdb(tmp_path / "words", [(original(3, (1, 1)), "a")])
    assert LmdbWords(tmp_path / "words").read(0)[0].size == (1, 1)


# Labels


def test_labels_dropped_by_reason(tmp_path: Path) -> None:
    image = encoded(original(0))
    labels = [
        b"One",
        b"muchtoolong",
        b"",
        b"\xff\xfe",
        None,
        "Fünf".encode(),
        b"alsotoolong",
        b"Eight",
        None,
    ]
    pairs = {"num-samples": b"9"}
    for number, label in enumerate(labels, 1):
        pairs[f"image-{number:09d}"] = image
        if label is not None:
            pairs[f"label-{number:09d}"] = label
    words = LmdbWords(write_raw(tmp_path / "words", pairs), prepare_label=short)
    assert words.dropped == Counter(
        {"too long": 2, "empty": 1, "undecodable label": 1, "no label": 2}
    )
    assert words.labels == ["one", "fünf", "eight"]
    assert [words.read(index)[1] for index in range(len(words))] == words.labels


def test_kept_label_stays_with_its_image(tmp_path: Path) -> None:
    samples = [(original(number), "x" * (number % 3 * 4) + str(number)) for number in range(60)]
    write_lmdb(tmp_path / "words", samples)
    words = LmdbWords(tmp_path / "words", prepare_label=short)
    assert len(words) + words.dropped.total() == 60
    for index in range(len(words)):
        image, label = words.read(index)
        assert image.getpixel((0, 0)) == original(int(label.strip("x"))).getpixel((0, 0))


def test_unlabeled(tmp_path: Path) -> None:
    image = encoded(original(0))
    pairs = {f"image-{number:09d}": image for number in (1, 2, 3, 4)}
    pairs |= {"label-000000002": b"two", "label-000000003": b"\xff", "num-samples": b"4"}
    words = LmdbWords(write_raw(tmp_path / "words", pairs))
    assert words.labels == ["", "two", "", ""]
    assert not words.dropped
    assert words.read(3)[1] == ""


def test_keys_out_of_range_are_ignored(tmp_path: Path) -> None:
    pairs = {"num-samples": b"1", "image-000000001": encoded(original(0)), "label-000000001": b"in"}
    pairs |= {
        "label-000000000": b"0",
        "label-000000002": b"2",
        "label-x": b"x",
        "label-0000000001": b"ten",
        "later": b"",
    }
    path = write_raw(tmp_path / "words", pairs)
    assert LmdbWords(path).labels == ["in"]
    words = LmdbWords(path, prepare_label=short)
    assert words.labels == ["in"]
    assert not words.dropped


def test_empty_sets(tmp_path: Path) -> None:
    assert write_lmdb(tmp_path / "empty", []) == 0
    assert len(LmdbWords(tmp_path / "empty")) == 0
    path = write_raw(tmp_path / "nothing", {"num-samples": b"3"})
    words = LmdbWords(path, prepare_label=short)
    assert (len(words), words.dropped) == (0, Counter({"no label": 3}))


def test_label_scan_is_fast(tmp_path: Path) -> None:
    count = 100_000
    write_lmdb(tmp_path / "words", ((b"", f"w{number}") for number in range(count)))
    start = time.process_time()
    words = LmdbWords(tmp_path / "words", prepare_label=str.upper)
    assert time.process_time() - start < 10  # 0.2 where nothing else runs
    assert words.labels[-1] == f"W{count - 1}"


# Damage


def damaged_images() -> dict[str, tuple[bytes | None, str]]:
    whole = encoded(
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8))
    )
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    return {
        "random bytes": (np.random.default_rng(1).bytes(500), "not an image in any known format"),
        "truncated": (whole[: len(whole) // 2], "truncated"),
        "flipped": (bytes(flipped), "broken|unrecognized|truncated|checksum|CRC|decoder"),
        "missing": (None, "there is no such key"),
        "empty": (b"", "the file is empty"),
        "bomb": (bomb(30_000, 30_000), "pixels"),
        "small bomb": (bomb(9000, 8000), "9000 x 8000 pixels, over"),
        "text": (b"<html>404</html>", "not an image in any known format"),
        "postscript": (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
            "not an image in any known format",
        ),
        "narrow": (encoded(original(0, (3, 40))), "3x40 pixels are under the minimum side of 4"),
        "low": (encoded(original(0, (40, 3))), "40x3 pixels are under the minimum side of 4"),
    }


@pytest.mark.parametrize("what", damaged_images())
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_damaged_record_is_named(tmp_path: Path, what: str) -> None:
    content, message = damaged_images()[what]
    pairs = {"num-samples": b"2", "label-000000001": b"bad", "label-000000002": b"good"}
    pairs["image-000000002"] = encoded(original(2))
    if content is not None:
        pairs["image-000000001"] = content
    words = LmdbWords(write_raw(tmp_path / "words", pairs), prepare_label=short, min_image_dim=4)
    with pytest.raises(UnreadableRecord, match=message) as caught:
        words.read(0)
    assert str(tmp_path / "words") in str(caught.value)
    assert "image-000000001" in str(caught.value)
    assert caught.value.label == "bad"
    assert words.read(1)[1] == "good"
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.label) == (str(caught.value), "bad")


def test_pillow_limit_is_left_alone(tmp_path: Path) -> None:
    before = Image.MAX_IMAGE_PIXELS
    write_lmdb(tmp_path / "words", [(bomb(9000, 8000), "a")])
    with pytest.raises(UnreadableRecord):
        LmdbWords(tmp_path / "words").read(0)
    assert before == Image.MAX_IMAGE_PIXELS


def test_folder_without_data(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere", write_words(tmp_path / "words") / "data.mdb"):
        with pytest.raises(ValueError, match="give the folder of an LMDB data set") as caught:
            LmdbWords(path)
        assert f"no data.mdb in {path}" in str(caught.value)


@pytest.mark.parametrize(
    "value", [None, b"", b"five", b"-1", b"1.0", b" 5", b"\xb2", b"1000000000", b"9" * 5000]
)
def test_useless_sample_count(tmp_path: Path, value: bytes | None) -> None:
    path = write_raw(
        tmp_path / "words",
        {"image-000000001": b""} | ({} if value is None else {"num-samples": value}),
    )
    with pytest.raises(ValueError, match="num-samples must be a whole number") as caught:
        LmdbWords(path)
    assert str(path / "data.mdb") in str(caught.value)
    assert ("there is no such key" in str(caught.value)) == (value is None)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("kept", [0, 100, 4096, 8192, 20_000, -4096, -1])
def test_file_cut_short(tmp_path: Path, kept: int) -> None:
    file = write_words(tmp_path / "words", 300) / "data.mdb"
    content = file.read_bytes()
    file.write_bytes(content[:kept])
    with pytest.raises(
        ValueError, match=r"can't be read as LMDB: .*Copy, download or make it again"
    ) as caught:
        LmdbWords(file.parent)
    assert str(file) in str(caught.value)
    file.write_bytes(content)
    assert len(LmdbWords(file.parent)) == 300  # a failed try keeps nothing open


def test_other_file(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(np.random.default_rng(0).bytes(50_000))
    with pytest.raises(ValueError, match="can't be read as LMDB"):
        LmdbWords(tmp_path)


def test_damaged_label_page(tmp_path: Path) -> None:
    file = write_words(tmp_path / "words", 300) / "data.mdb"
    content = bytearray(file.read_bytes())
    for start in range(8192, len(content), 4096):
        if b"label-" in content[start : start + 4096]:
            content[start : start + 4096] = bytes(4096)
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"can't be read as LMDB|num-samples must be"):
        LmdbWords(file.parent, prepare_label=str)


def without_a_page(path: Path, prefix: bytes) -> None:
    """Zero a page of the file that holds keys with this prefix, and no other."""
    whole = (path / "data.mdb").read_bytes()
    count = sum(1 for _ in LmdbFile(path).items(prefix))
    for at in range(8192, len(whole), 4096):
        page = whole[at : at + 4096]
        if page[10] & 2 and prefix in page and b"num-samples" not in page:
            (path / "data.mdb").write_bytes(whole[:at] + bytes(4096) + whole[at + 4096 :])
            # else it is one that is no longer in use
            if sum(1 for _ in LmdbFile(path).items(prefix)) < count:
                return
    raise AssertionError("there is no such page")


def test_a_damaged_page_costs_its_records_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_words(tmp_path / "words", 600)
    without_a_page(path, b"label-")
    without_a_page(path, b"image-")
    words = LmdbWords(path, prepare_label=str)
    assert 0 < words.dropped["no label"] < 200
    assert words.dropped["no label"] == 600 - len(words)
    assert "damaged places, such as page" in caplog.text
    problems = []
    for index in range(len(words)):
        try:
            assert words.read(index)[1] == words.labels[index]
        except UnreadableRecord as error:
            problems.append(str(error))
    assert 0 < len(problems) < 200
    assert all("the file is damaged: page" in problem for problem in problems)


def test_pages_that_lead_in_a_circle(tmp_path: Path) -> None:
    file = write_words(tmp_path / "words", 300) / "data.mdb"
    content = bytearray(file.read_bytes())
    for at in range(8192, len(content), 4096):
        if content[at + 10] & 1:  # a branch
            for node in np.frombuffer(
                content[at + 16 : at + int.from_bytes(content[at + 12 : at + 14], "little")], "<u2"
            ):
                content[at + node : at + node + 4] = (at // 4096).to_bytes(4, "little")
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"can't be read as LMDB: page .* deeper than"):
        LmdbWords(file.parent)


def test_sizes_that_lie_beyond_the_file(tmp_path: Path) -> None:
    big = encoded(
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8))
    )
    write_lmdb(tmp_path / "words", [(big, "a"), (original(1), "b")])
    file = tmp_path / "words" / "data.mdb"
    content = file.read_bytes()
    for claimed in (len(big) + 1000, len(big) + 100_000, (1 << 32) - 1):
        changed = content.replace(
            len(big).to_bytes(4, "little") + b"\x01\0\x0f\0image-",
            claimed.to_bytes(4, "little") + b"\x01\0\x0f\0image-",
        )
        assert changed != content
        file.write_bytes(changed)
        words = LmdbWords(tmp_path / "words")
        try:
            words.read(0)
        except UnreadableRecord:
            assert claimed != len(big) + 1000
        assert words.read(1)[1] == "b"


@pytest.mark.parametrize("seed", range(4))
def test_no_damage_ends_the_process_or_hangs(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    samples = [(rng.bytes(int(rng.choice([40, 3000]))), f"w{number}") for number in range(300)]
    write_lmdb(tmp_path / "words", samples)
    file = tmp_path / "words" / "data.mdb"
    whole = file.read_bytes()
    for _ in range(25):
        content = bytearray(whole)
        for _ in range(int(rng.choice([1, 10, 100]))):
            page = int(rng.integers(len(content) // 4096)) * 4096
            content[page + int(rng.integers(rng.choice([32, 300, 4096])))] = int(
                rng.choice([0, 255, rng.integers(256)])
            )
        file.write_bytes(
            content[: int(rng.choice([len(content), len(content), rng.integers(len(content))]))]
        )
        with suppress(ValueError):
            words = LmdbWords(file.parent)
            for index in range(0, len(words), 7):
                with suppress(UnreadableRecord):
                    words.read(index)


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    words = LmdbWords(write_words(tmp_path / "words", 300))
    os.truncate(tmp_path / "words" / "data.mdb", 8192)
    with pytest.raises(UnreadableRecord, match="the file is damaged: it ends within"):
        words.read(5)


def test_no_pipe_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "data.mdb")
    with pytest.raises(ValueError, match=r"no data\.mdb in .*fifo"):
        LmdbWords(tmp_path)


# The number of samples


def test_sample_count_with_a_line_end(tmp_path: Path) -> None:
    image = encoded(original(0))
    pairs = {
        f"{kind}-{number:09d}": image if kind == "image" else b"a"
        for kind in ("image", "label")
        for number in (1, 2)
    }
    assert len(LmdbWords(write_raw(tmp_path / "words", pairs | {"num-samples": b"2\n"}))) == 2


def test_sample_count_that_no_file_could_hold(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pairs = {
        "image-000000001": encoded(original(0)),
        "label-000000001": b"a",
        "num-samples": b"999999999",
    }
    path = write_raw(tmp_path / "words", pairs)
    words = LmdbWords(path, prepare_label=str)
    assert (words.labels, words.dropped["no label"]) == (["a"], 999)
    assert len(LmdbWords(path)) == 1000  # without a look at labels, each could be there
    assert "num-samples is 999999999, but the file has only 3 entries" in caplog.text
    assert scan(path).records["readable"].sum() == 1


def test_sample_count_below_the_records_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_words(tmp_path / "words", 5)
    with (
        lmdb.open(str(path), lock=False) as environment,
        environment.begin(write=True) as transaction,
    ):
        transaction.put(b"num-samples", b"3")
    assert len(LmdbWords(path, prepare_label=str)) == 3
    said = (
        "num-samples is 3, but the file holds more records, about 5: those behind number 3 are "
        "not read"
    )
    assert said in caplog.text
    caplog.clear()
    scan(path, read_images=False)
    assert said in caplog.text


# Processes and threads


def read_all(words: LmdbWords) -> tuple[int, list[tuple[tuple[int, ...], str]]]:
    results = []
    for index in range(len(words)):
        image, label = words.read(index)
        results.append((image.getpixel((0, 0)), label))
    return os.getpid(), results


def construct_and_read(path: Path) -> tuple[int, list[tuple[tuple[int, ...], str]]]:
    return read_all(LmdbWords(path))


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_worker_processes(tmp_path: Path, method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this system")
    words = LmdbWords(write_words(tmp_path / "words", 20))
    expected = read_all(words)[1]
    with multiprocessing.get_context(method).Pool(2) as pool:
        results = pool.map(read_all, [words] * 6, chunksize=1) + pool.map(
            construct_and_read, [words.path] * 2
        )
    assert all(result == expected for _, result in results)
    assert os.getpid() not in {process for process, _ in results}
    assert read_all(words)[1] == expected


def test_same_file_twice_in_a_process(tmp_path: Path) -> None:
    path = write_words(tmp_path / "words")
    (tmp_path / "link").symlink_to(path)
    first, second, third = (
        LmdbWords(path),
        LmdbWords(os.path.relpath(path)),
        LmdbWords(tmp_path / "link"),
    )
    expected = read_all(first)[1]
    del first
    assert read_all(second)[1] == read_all(third)[1] == expected
    del second, third
    with lmdb.open(str(path), readonly=True, lock=False):  # refused if anything still had it open
        pass


def test_pickled_copy_opens_when_it_reads(tmp_path: Path) -> None:
    words = LmdbWords(
        write_words(tmp_path / "words"), prepare_label=lambda label: label + "!", min_image_dim=2
    )
    copy = pickle.loads(pickle.dumps(words))
    assert copy._opened is None
    assert (copy.labels, copy.dropped, copy.min_image_dim) == (words.labels, words.dropped, 2)
    assert read_all(copy) == read_all(words)


def test_file_that_has_gone_is_no_unreadable_record(tmp_path: Path) -> None:
    words = pickle.loads(pickle.dumps(LmdbWords(write_words(tmp_path / "words"))))
    (tmp_path / "words" / "data.mdb").unlink()
    with pytest.raises(ValueError, match=r"no data\.mdb in") as caught:
        words.read(0)
    assert not isinstance(caught.value, UnreadableRecord)


def test_threads_share_it(tmp_path: Path) -> None:
    write_words(tmp_path / "words", 50)
    words = pickle.loads(pickle.dumps(LmdbWords(tmp_path / "words")))
    results: list[object] = []
    barrier = threading.Barrier(4)

    def work() -> None:
        barrier.wait()
        results.append(read_all(words)[1])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(result == results[0] for result in results)


def test_a_folder_is_closed_with_its_words(tmp_path: Path) -> None:
    open_files = Path("/proc/self/fd")
    if not open_files.is_dir():
        pytest.skip("no /proc on this system")
    write_words(tmp_path / "words")
    before = len(list(open_files.iterdir()))
    for _ in range(5):
        LmdbWords(tmp_path / "words").read(0)
    assert len(list(open_files.iterdir())) == before


# Finding


def test_finds_folders(tmp_path: Path) -> None:
    for name in ("b/deep/er", "a", "c"):
        write_words(tmp_path / name, 1)
    (tmp_path / "empty").mkdir()
    (tmp_path / ".x.partial").mkdir()
    (tmp_path / ".x.partial" / "data.mdb").touch()
    assert find_lmdbs(tmp_path) == [tmp_path / "a", tmp_path / "b/deep/er", tmp_path / "c"]
    assert find_lmdbs(tmp_path / "a") == [tmp_path / "a"]
    assert find_lmdbs(str(tmp_path / "empty")) == find_lmdbs(tmp_path / "nowhere") == []


def test_follows_links_without_looping(tmp_path: Path) -> None:
    write_words(tmp_path / "elsewhere" / "set", 1)
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path / "elsewhere")
    (root / "again").symlink_to(tmp_path / "elsewhere" / "set")
    (tmp_path / "elsewhere" / "up").symlink_to(root)
    assert find_lmdbs(root) == [root / "again"]
    (root / "again").unlink()
    assert find_lmdbs(root) == [root / "link" / "set"]


# Writing


def test_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    def samples() -> Iterator[tuple[Image.Image, str]]:
        for number in range(2500):
            yield original(number, (1, 1)), "a"
        raise RuntimeError("the source failed")

    with pytest.raises(RuntimeError, match="the source failed"):
        write_lmdb(tmp_path / "words", samples())
    assert list(tmp_path.iterdir()) == []


def test_nothing_under_its_name_until_complete(tmp_path: Path) -> None:
    def samples() -> Iterator[tuple[Image.Image, str]]:
        for number in range(3):
            assert not (tmp_path / "deep" / "words").exists()
            assert find_lmdbs(tmp_path) == []
            yield original(number), str(number)

    assert write_lmdb(tmp_path / "deep" / "words", samples()) == 3
    assert [item.name for item in (tmp_path / "deep").iterdir()] == ["words"]


def test_refuses_to_overwrite(tmp_path: Path) -> None:
    path = write_words(tmp_path / "words")
    content = (path / "data.mdb").read_bytes()
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for existing in (path, tmp_path / "folder", tmp_path / "dangling"):
        with pytest.raises(ValueError, match="already exists and won't be overwritten"):
            write_lmdb(existing, [(original(0), "a")])
    assert (path / "data.mdb").read_bytes() == content


def test_map_grows(tmp_path: Path) -> None:
    blobs = [np.random.default_rng(number).bytes(20_000) for number in range(40)]
    samples = ((blob, str(number)) for number, blob in enumerate(blobs * 60))
    assert write_lmdb(tmp_path / "words", samples, map_size=1 << 16, map_growth=1.5) == 2400
    path = tmp_path / "words"
    with (
        lmdb.open(str(path), readonly=True, lock=False) as environment,
        environment.begin() as transaction,
    ):
        assert all(
            transaction.get(b"image-%09d" % (number + 1)) == blobs[number % 40]
            for number in range(2400)
        )
    assert LmdbWords(path).labels == [str(number) for number in range(2400)]
    with pytest.raises(ValueError, match="map_growth must be over 1, not 1"):
        write_lmdb(tmp_path / "other", [], map_growth=1)
