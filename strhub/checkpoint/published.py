"""PP-OCRv6's small recognizer as its makers published it, by name: read from the wheel of RapidOCR,
or from its file.

`ppocrv6-small` reads printable ASCII and the space, as the models that are compared with it do;
`strhub-small-multi` reads all of its characters, 18,705. Neither comes with strhub: the weights are
taken from where they are installed.
"""

from __future__ import annotations

import unicodedata
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from strhub.checkpoint.formats import Checkpoint
from strhub.errors import CheckpointError
from strhub.text import CHARSET_36, CHARSET_94
from strhub.utils.install import install_command
from strhub.weights import PUBLISHED, PUBLISHED_FILE

__all__ = ["published_file", "read_published_model"]

ASCII_ONLY, ALL = PUBLISHED
LICENSE = "Apache-2.0"
SOURCE = (
    "PP-OCRv6_rec_small of PaddleOCR (https://github.com/PaddlePaddle/PaddleOCR), as the wheel of "
    "RapidOCR has it"
)


def read_published_model(source: str | Path, *, characters: str | None = None) -> Checkpoint:
    """Return the published recognizer as a model of ours.

    source: as `strhub.weights.is_published` takes it; characters: that it is to read, by default
    those that its name stands for.

    Raises:
        CheckpointError: it is not there, or another file; what to install is said.
        ModuleNotFoundError: onnx is not installed.
    """
    name, _ = _parts(source)
    try:
        from strhub.checkpoint.ppocr import choose_characters, read_published

        with _graph(published_file(source)) as path:
            published = read_published(path)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{error.name} is not installed; reading {name} needs: {install_command('export')}",
            name=error.name,
        ) from error
    own = "".join(filter(_is_composed, published.characters)) if name == ALL else f"{CHARSET_94} "
    charset = own if characters is None else characters
    try:
        weights = choose_characters(published, charset)
    except ValueError as error:
        raise CheckpointError(f"{name}: {error}") from error
    return Checkpoint(
        weights,
        _hyper_parameters(name, charset),
        {"licence": LICENSE, "provenance": {"weights": SOURCE}},
    )


def _is_composed(character: str) -> bool:
    """Return whether Unicode has no other character for the same, as it has for four of the
    published ones, known besides.
    """
    return unicodedata.normalize("NFC", character) == character


def _hyper_parameters(name: str, charset: str) -> dict[str, Any]:
    return {
        "name": name,
        "architecture": "light_ctc",
        "charset_train": charset,
        "charset_test": charset if name == ALL else CHARSET_36,
        "img_size": [48, 1600],
        "keep_aspect": True,
        "max_label_length": 100,
        "normalize": "default",
    }


def published_file(source: str | Path) -> Path:
    """Return the file that a source names: the one that is given, or the installed package's.

    Raises:
        CheckpointError: it is not there; what to install is said.
    """
    name, local = _parts(source)
    if local is not None:
        if not local.is_file():
            raise CheckpointError(f"{name}: there is no file {local}")
        return local
    package = find_spec("rapidocr")
    folders = (package.submodule_search_locations or ()) if package else ()
    for folder in folders:
        file = Path(folder).parent / PUBLISHED_FILE
        if file.is_file():
            return file
    raise CheckpointError(
        f"{name} is read from the package rapidocr, which is not installed or has no "
        f"{Path(PUBLISHED_FILE).name}: pip install --no-deps rapidocr, or name its wheel "
        f"or that file: {name}@<path>"
    )


def _parts(source: str | Path) -> tuple[str, Path | None]:
    """Return the name, of `PUBLISHED`, and the file if one is given."""
    name, _, file = str(source).removeprefix("pretrained=").partition("@")
    if name not in PUBLISHED:
        name, file = ASCII_ONLY, str(source).removeprefix("pretrained=")
    return name, Path(file).expanduser() if file else None


@contextmanager
def _graph(path: Path) -> Iterator[Path]:
    """Yield the .onnx file, or the one in a wheel."""
    if path.suffix != ".whl":
        yield path
        return
    with TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(path) as wheel:
                yield Path(wheel.extract(PUBLISHED_FILE, folder))
        except (zipfile.BadZipFile, KeyError, OSError) as error:
            raise CheckpointError(
                f"{path} is not a wheel with {PUBLISHED_FILE} in it: {error}"
            ) from error
