"""What is attacked: for each kind of file, sound examples and what strhub does with a damaged
one.
"""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from archives import write_archive
from more_kinds import more_kinds
from other_kinds import other_kinds
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
FORMATS = (
    "PNG",
    "JPEG",
    "GIF",
    "BMP",
    "TIFF",
    "WEBP",
    "PPM",
    "TGA",
    "ICO",
    "JPEG2000",
    "PCX",
    "SGI",
)


class Kind(NamedTuple):
    """make: writes sound examples to a folder, once; attempt: uses a damaged one, and may raise
    what `allowed` says.
    """

    make: Callable[[Path], None]
    attempt: Callable[[Path], object]


def allowed() -> tuple[type[BaseException], ...]:
    """Return the errors that a damaged file may raise: those that commands tell in one line."""
    return (ValueError, ImportError, OSError)


def _demo_images() -> Iterator[Image.Image]:
    for path in sorted((ROOT / "demo_images").glob("*.png"))[:3]:
        with Image.open(path) as image:
            yield image.convert("RGB").resize((96, 32))


def _make_images(folder: Path) -> None:
    for index, image in enumerate(_demo_images()):
        for name in FORMATS:
            image.save(folder / f"{index}.{name.lower()}", format=name)
        for mode in ("L", "1", "P", "LA", "RGBA", "I;16"):
            image.convert("L" if mode == "I;16" else mode).convert(mode).save(
                folder / f"{index}-{mode[:2]}.png"
            )
        pages = [image, image.rotate(5)]
        image.save(folder / f"{index}-pages.tif", save_all=True, append_images=pages)
        image.save(folder / f"{index}-pages.gif", save_all=True, append_images=pages)


_readers: list[Any] = []  # one, once it is needed


def _read_image(path: Path) -> object:
    from strhub import Recognizer

    if not _readers:
        _readers.append(Recognizer("strhub-tiny", threads=1, reread_below=0))
    reader = _readers[0]
    found = reader([str(path), path.read_bytes()])
    assert len(found) == 2
    return found


def _make_models(folder: Path) -> None:
    import strhub
    from strhub.export import export

    for name in ("reference-lightning.ckpt", "reference-lightning.pt"):
        shutil.copy(ROOT / "tests" / "golden" / name, folder)
    model = strhub.load(folder / "reference-lightning.ckpt")
    strhub.save(model, folder / "a.safetensors")
    export(model, folder / "a.onnx", card={})
    write_archive(folder / "a.pt2")


def _use_model(path: Path) -> object:
    from strhub import Recognizer

    image = next(_demo_images())
    return Recognizer(str(path), threads=1, reread_below=0)([image])


def png_files() -> list[bytes]:
    """Return the demonstration images, small, as PNG files."""
    contents = []
    for image in _demo_images():
        file = io.BytesIO()
        image.save(file, "PNG")
        contents.append(file.getvalue())
    return contents


def _make_archives(folder: Path) -> None:
    for suffix in ("tar", "tar.gz", "tgz"):
        for style in (tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
            long = 10 if style == tarfile.USTAR_FORMAT else 120  # names beyond a header's field
            mode = "w" if suffix == "tar" else "w:gz"
            with tarfile.open(folder / f"{style}.{suffix}", mode, format=style) as tar:  # type: ignore[call-overload]
                for number, content in enumerate(png_files()):
                    label = json.dumps({"label": "wörd"}).encode() if number else b"word"
                    for name, data in (
                        (f"{'a' * long * number}{number}.png", content),
                        (f"{number}.txt", label),
                    ):
                        entry = tarfile.TarInfo(name)
                        entry.size = len(data)
                        tar.addfile(entry, io.BytesIO(data))
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        return
    table = pyarrow.table({"image": png_files(), "label": ["a", "b", "c"]})
    pyarrow.parquet.write_table(table, folder / "a.parquet")


def _read_archive(path: Path) -> object:
    from strhub.bulk.inputs import PARQUET, TAR, Unit, images
    from strhub.bulk.parquet import parquet_groups
    from strhub.data.sources.tar import read_words

    if path.suffix == ".parquet":
        units = [Unit(PARQUET, str(path), span) for span in parquet_groups(str(path))]
        return [len(list(images(unit))) for unit in units]
    found = [word.label for word in read_words(str(path))]
    return found, len(list(images(Unit(TAR, str(path)))))


def _make_lmdbs(folder: Path) -> None:
    from strhub.data.sources.lmdb import LmdbWriter, soft_key, write_lmdb
    from strhub.data.sources.soft_labels import store_soft_label

    soft = store_soft_label([("word", 0.6), ("w\u00f6rd", 0.3)])
    for count in (1, 12):
        write_lmdb(
            folder / "made",
            [(content, f"word{number}") for number, content in enumerate(png_files() * count)],
        )
        with LmdbWriter(folder / "made", map_size=1 << 26, create=False) as writer:
            writer.put([(soft_key(number), soft) for number in range(1, 1 + 2 * count)])
        shutil.move(str(folder / "made" / "data.mdb"), folder / f"{count}.mdb")
        shutil.rmtree(folder / "made")


def _read_lmdb(path: Path) -> object:
    from strhub.data.sources.lmdb import LmdbWords

    folder = path.parent / "lmdb"
    folder.mkdir(exist_ok=True)
    shutil.move(str(path), folder / "data.mdb")
    words = LmdbWords(folder)
    for index in range(min(len(words), 100)):
        with suppress(*allowed()):
            words.read(index)
            words.soft_label(index)
    return len(words)


def _make_labels(folder: Path) -> None:
    rows = [
        ("a.png", "Hello"),
        ("b.png", "wörld, 1/2"),
        ('c "d".png', "x\ty"),
        ("sub/e.png", "नमस्ते"),
    ]
    texts = {
        "gt.txt": "".join(f"{name}\t{label}\n" for name, label in rows),
        "labels.csv": "filename,words\n" + "".join(f'"{name}","{label}"\n' for name, label in rows),
        "labels.tsv": "".join(f"{name}\t{label}\r\n" for name, label in rows),
        "labels.jsonl": "".join(
            json.dumps({"file_name": name, "text": label}) + "\n" for name, label in rows
        ),
        "labels.json": json.dumps(dict(rows)),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8")


def _read_labels(path: Path) -> object:
    from strhub.data.sources.annotations import Annotations

    return len(list(Annotations(path)))


KINDS = {
    "images": Kind(_make_images, _read_image),
    "models": Kind(_make_models, _use_model),
    "archives": Kind(_make_archives, _read_archive),
    "lmdbs": Kind(_make_lmdbs, _read_lmdb),
    "labels": Kind(_make_labels, _read_labels),
    **more_kinds(Kind),
    **other_kinds(Kind),
}
