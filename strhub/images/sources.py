"""An input as it is given, to something that stands for it in any thread.

A PIL image reads its file when its pixels are first asked for, a file object has one position, and
an iterator may yield the same object again and again, with other pixels. So their content is taken
here, in the thread that asks for them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from PIL import Image, ImageFile

from strhub.images.limits import (
    MAX_BYTES,
    MAX_REMOTE_BYTES,
    MAX_SECONDS,
    UnreadableImage,
    check_size,
    damage,
)
from strhub.images.pixels import check_array
from strhub.utils.regular_files import read_regular

__all__ = ["Address", "Encoded", "Taken", "is_address", "is_one_image", "load", "name_of", "take"]

_KEPT_BYTES: Final = 4 << 20  # of what was fetched, for a re-reading
_BLOCK: Final = 1 << 20


@dataclass(frozen=True)
class Encoded:
    """An image's file in memory.

    formats: by Pillow's names, the only ones tried; none for all that are read. upright: whether
    its orientation tag is followed.
    """

    content: bytes | memoryview
    formats: tuple[str, ...] = ()
    upright: bool = True


class Address:
    """An image on the web, fetched when it is opened, by whichever thread does; a small one once
    only.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._content: bytes | None = None

    def content(self) -> bytes:
        """Return the file; `UnreadableImage` if it cannot be had."""
        if self._content is not None:
            return self._content
        from strhub.utils.web import fetch  # takes its time to import

        try:
            content = fetch(self.url, max_bytes=MAX_REMOTE_BYTES, max_seconds=MAX_SECONDS)
        except OSError as error:
            raise UnreadableImage(str(error)) from error
        if len(content) <= _KEPT_BYTES:
            self._content = content
        return content


class Taken(NamedTuple):
    """An input that is safe in any thread: its name, None if it has none; what `load` takes; bytes
    that it holds.
    """

    name: str | None
    source: Any
    size: int = 0


def take(source: Any, *, copy: bool = False) -> Taken:
    """Take an input's content where another thread, a later seek or a later write could change it.

    copy: also of loaded PIL images and arrays, for those of an iterator, which may use one object
    for all. The caller's PIL images stay as they are, loaded or not, but for a later page of a
    file: that is loaded. What is wrong with an input is in its source, an `UnreadableImage`.
    """
    try:
        return _take(source, copy=copy)
    except UnreadableImage as error:
        return Taken(name_of(source), error)
    except Exception as error:  # file objects, arrays and images of closed files may raise anything
        return Taken(name_of(source), UnreadableImage(damage(error)))


def _take(source: Any, *, copy: bool) -> Taken:
    if isinstance(source, str):
        return Taken(source, Address(source) if is_address(source) else source)
    if isinstance(source, os.PathLike):
        return Taken(name_of(source), source)
    if isinstance(source, bytes | bytearray | memoryview):
        content = source if isinstance(source, bytes) else bytes(source)
        return Taken(None, Encoded(content), len(content))
    if isinstance(source, Image.Image):
        return _take_image(source, copy=copy)
    if hasattr(source, "__array__"):
        array = source if hasattr(source, "shape") else np.asarray(source)
        height, width = check_array(array)
        check_size(width, height)  # before its elements are asked for
        if not copy:
            return Taken(None, array)
        array = np.array(array)
        return Taken(None, array, array.nbytes)
    if callable(getattr(source, "read", None)):
        content = _content_of(source)
        return Taken(None, Encoded(content), len(content))
    if isinstance(source, Encoded | Address | UnreadableImage):
        return Taken(name_of(source), source)
    raise UnreadableImage(
        "an image is a path, an address, bytes, a file object, a PIL image or an array, not a "
        f"{type(source).__name__}"
    )


def load(source: Any) -> Any:
    """Return the source of a `Taken` as `Encoded`, a PIL image or an array: read the file, fetch
    the address.

    Raises `UnreadableImage` if it cannot be had.
    """
    if isinstance(source, UnreadableImage):
        raise source
    if isinstance(source, Address):
        return Encoded(source.content())
    if isinstance(source, str | os.PathLike):
        return Encoded(_read_file(source))
    return source


def is_address(text: str) -> bool:
    """Return whether a text is an address on the web rather than a path."""
    return text.lower().startswith(("http://", "https://"))


def name_of(source: Any) -> str | None:
    """Return the path or address of an input, None for one from memory."""
    if isinstance(source, Address):
        return source.url
    if isinstance(source, str):
        return source
    if isinstance(source, os.PathLike):
        try:
            return os.fsdecode(source)
        except Exception:  # it is the user's own class
            return None
    return None


def is_one_image(source: Any) -> bool:
    """Return whether an object is one image by itself, not a list or an iterator of some."""
    kinds = (str, bytes, bytearray, memoryview, os.PathLike, Image.Image)
    return (
        isinstance(source, kinds)
        or hasattr(source, "__array__")
        or callable(getattr(source, "read", None))
    )


def _take_image(image: Image.Image, *, copy: bool) -> Taken:
    file = getattr(image, "fp", None)
    if getattr(image, "tile", None) and (file is None or getattr(file, "closed", False)):
        raise UnreadableImage("the image was closed before its pixels were loaded")
    if isinstance(image, ImageFile.ImageFile) and (
        file is not None or vars(image).get("is_animated")
    ):
        if file is not None and image.tell() == 0:  # not loaded
            content = _content_of(file)
            return Taken(None, Encoded(content, (str(image.format),), upright=False), len(content))
        copy = True  # another page may be asked for next
    if not copy:
        return Taken(None, image)
    check_size(image.width, image.height)
    return Taken(None, image.copy(), 4 * image.width * image.height)


def _content_of(file: Any) -> bytes:
    """Return what is in a file object, whose position stays; of a pipe, what is still to come."""
    position = file.tell() if _is_seekable(file) else None
    if position is not None:
        file.seek(0)
    blocks: list[bytes] = []
    size = 0
    while size <= MAX_BYTES and (block := file.read(_BLOCK)):
        if isinstance(block, str):
            raise UnreadableImage("the file is opened as text: open it in mode 'rb'")
        blocks.append(block)
        size += len(block)
    if position is not None:
        file.seek(position)
    if size > MAX_BYTES:
        raise UnreadableImage(f"the file is over {MAX_BYTES >> 20} MiB")
    return b"".join(blocks)


def _is_seekable(file: Any) -> bool:
    seekable = getattr(file, "seekable", None)
    return bool(seekable()) if callable(seekable) else hasattr(file, "seek")


def _read_file(path: str | os.PathLike[str]) -> bytes:
    try:
        name = os.fspath(path)
    except Exception as error:  # it is the user's own class
        raise UnreadableImage(
            f"its path cannot be determined: {str(error) or type(error).__name__}"
        ) from error
    try:
        return read_regular(name, max_bytes=MAX_BYTES)
    except OSError as error:
        raise UnreadableImage(error.strerror or str(error)) from error
    except ValueError as error:  # no file can have such a name
        raise UnreadableImage(str(error)) from error
