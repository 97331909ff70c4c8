"""Bodies to images: JSON with base64, multipart, or an image's own bytes. All of this runs in a
thread.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from strhub.errors import UnreadableImage
from strhub.images.limits import TooManyPixels
from strhub.images.open import open_image
from strhub.images.sources import Encoded
from strhub.serving.multipart import Part, parse_multipart
from strhub.serving.options import ServeOptions
from strhub.serving.refusals import Refusal
from strhub.serving.schemas import DEFAULT, Batch, Photos
from strhub.utils.web import fetch

__all__ = ["Job", "Source", "parse"]

_FIELDS = ("model", "decoding")
_IMAGE_FIELDS = ("images", "image", "files", "file")
_URL_SECONDS = 10.0
_MOST_NAMES = 32  # of an object; none has so many


@dataclass(frozen=True)
class Source:
    """An image as it came: its name; its file, or why there is none."""

    name: str | None
    content: bytes | UnreadableImage


@dataclass(frozen=True)
class Job:
    """What a request asks for; model and decoding are None for those by default."""

    sources: tuple[Source, ...]
    model: str | None = None
    decoding: str | None = None


def parse(
    body: bytes,
    content_type: str,
    query: Mapping[str, str],
    options: ServeOptions,
    *,
    photos: bool,
) -> Job:
    """Return what a request asks for.

    query: `model` and `decoding`, if they are not in the body. photos: rather than words.

    Raises:
        Refusal: 415 for another kind of body, 422 for one that is damaged, has no image, or too
            many images or pixels.
    """
    max_images = options.max_photos if photos else options.max_images
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json":
        job = _from_json(body, options, max_images, Photos if photos else Batch)
    elif kind == "multipart/form-data":
        job = _from_multipart(body, content_type, max_images)
    elif kind.startswith("image/") or kind == "application/octet-stream":
        job = Job((Source(None, body),))
    else:
        raise Refusal(
            415,
            "unsupported_type",
            "send application/json, multipart/form-data, or one image as image/*",
        )
    if not job.sources:
        raise Refusal(422, "no_image", "there is no image in the request")
    for index, source in enumerate(job.sources):
        _check_pixels(index, source, options.max_pixels)
    model = query.get("model") if job.model is None else job.model
    decoding = query.get("decoding") if job.decoding is None else job.decoding
    return replace(job, model=model, decoding=decoding)


def _too_many(count: int, max_images: int) -> Refusal:
    return Refusal(
        422, "too_many_images", f"{count} images in a request; {max_images} is the maximum"
    )


def _from_json(
    body: bytes, options: ServeOptions, max_images: int, kind: type[Photos] = Batch
) -> Job:
    try:
        content = from_json(body)
    except ValueError as error:
        raise Refusal(422, "bad_body", f"the body: Invalid JSON: {error}") from None
    _check_counts(content, max_images)
    try:
        batch = kind.model_validate(content)
    except ValidationError as error:
        raise Refusal(422, "bad_body", _first_of(error)) from None
    sources = []
    for index, one in enumerate(batch.images):
        if "url" in one.model_fields_set:
            sources.append(Source(one.name or one.url, _fetched(one.url, options)))
        else:
            sources.append(Source(one.name or None, _decoded(one.data, index)))
    decoding = batch.decoding if isinstance(batch, Batch) else DEFAULT
    return Job(tuple(sources), batch.model or None, decoding or None)


def _check_counts(content: Any, max_images: int) -> None:
    """Raise `Refusal` for more images or names than are taken, before each costs an object or an
    error of its own.
    """
    images = content.get("images") if isinstance(content, dict) else None
    if isinstance(images, list) and len(images) > max_images:
        raise _too_many(len(images), max_images)
    for one in (content, *(images if isinstance(images, list) else ())):
        if isinstance(one, dict) and len(one) > _MOST_NAMES:
            raise Refusal(422, "bad_body", f"an object has {len(one)} names, far more than known")


def _first_of(error: ValidationError) -> str:
    """Return where the first fault is and what it is; nothing of what was sent."""
    first: Mapping[str, Any] = error.errors(
        include_url=False, include_input=False, include_context=False
    )[0]
    where = "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in first["loc"])
    return f"{where.lstrip('.') or 'the body'}: {first['msg']}"[:500]


def _decoded(text: str, index: int) -> bytes:
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refusal(422, "bad_body", f"images[{index}].data: it is not base64") from None


def _fetched(url: str, options: ServeOptions) -> bytes | UnreadableImage:
    if not options.allow_urls:
        raise Refusal(422, "no_urls", "this service fetches no URLs: send the image itself")
    if not url.lower().startswith(("http://", "https://")):
        raise Refusal(422, "bad_url", "a URL begins with http:// or https://")
    try:
        seconds = min(_URL_SECONDS, options.timeout)
        return fetch(url, max_bytes=options.max_bytes, max_seconds=seconds, public_only=True)
    except OSError as error:
        return UnreadableImage(str(error))


def _from_multipart(body: bytes, content_type: str, max_images: int) -> Job:
    values: dict[str, str] = {}
    files: list[Part] = []
    for part in parse_multipart(body, content_type, max_parts=max_images + len(_FIELDS)):
        if part.name in _FIELDS and part.filename is None:
            values[part.name] = bytes(part.content[:255]).decode("utf-8", "replace")
        elif part.name in _IMAGE_FIELDS and part.filename is not None:
            files.append(part)
        else:
            raise Refusal(
                422,
                "bad_body",
                f"a part is neither a file in {_IMAGE_FIELDS[0]}, nor one of {', '.join(_FIELDS)}",
            )
    if len(files) > max_images:
        raise _too_many(len(files), max_images)
    sources = tuple(Source(_base(part.filename), bytes(part.content)) for part in files)
    return Job(sources, values.get("model"), values.get("decoding"))


def _base(filename: str | None) -> str | None:
    return (PurePath(filename).name or None) if filename else None


class _Seen(UnreadableImage):
    """Ends the opening of an image before it is decoded: its size is known."""

    def __init__(self, pixels: int) -> None:
        super().__init__()
        self.pixels = pixels


def _see(width: int, height: int) -> None:
    raise _Seen(width * height)


def _check_pixels(index: int, source: Source, max_pixels: int) -> None:
    """Raise `Refusal` if an image claims too many pixels; nothing is decoded.

    What is no image at all is left to the reader, which says so in its reading.
    """
    if isinstance(source.content, UnreadableImage):
        return
    try:
        open_image(Encoded(source.content), on_size=_see)
    except TooManyPixels:
        pass
    except _Seen as seen:
        if seen.pixels <= max_pixels:
            return
    except UnreadableImage:
        return
    raise Refusal(
        422, "too_many_pixels", f"images[{index}] is over {max_pixels} pixels, the largest"
    )
