"""Bodies of the kind `multipart/form-data`, which are in memory already, to their parts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from strhub.serving.refusals import Refusal

__all__ = ["Part", "boundary_of", "parse_multipart"]

_MAX_NAME: Final = 255  # characters


@dataclass
class Part:
    """A part: the field's name; that of the file, None for a plain value; its content."""

    name: str = ""
    filename: str | None = None
    content: bytearray = field(default_factory=bytearray)


def boundary_of(content_type: str) -> bytes:
    """Return the boundary that a header names; `Refusal` if there is none."""
    _, parameters = parse_options_header(content_type)
    boundary = parameters.get(b"boundary", b"")
    if not 1 <= len(boundary) <= 200:
        raise Refusal(422, "bad_body", "multipart/form-data names no boundary of its parts")
    return boundary


def parse_multipart(body: bytes, content_type: str, *, max_parts: int) -> list[Part]:
    """Return the parts of a body.

    Raises:
        Refusal: for one that is damaged or cut off, or has more parts than that.
    """
    collected = _Collected(max_parts)
    parser = MultipartParser(
        boundary_of(content_type),
        {
            "on_part_begin": collected.begin,
            "on_part_data": collected.data,
            "on_header_field": collected.header_name,
            "on_header_value": collected.header_value,
            "on_header_end": collected.header_end,
            "on_headers_finished": collected.headers_finished,
            "on_end": collected.end,
        },
    )
    try:
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise Refusal(422, "bad_body", "the multipart body is damaged") from error
    if not collected.whole:
        raise Refusal(422, "bad_body", "the multipart body is cut off")
    return collected.parts


class _Collected:
    """What the parser has told so far."""

    def __init__(self, max_parts: int) -> None:
        self.parts: list[Part] = []
        self.whole = False
        self._max_parts = max_parts
        self._headers: dict[bytes, bytes] = {}
        self._name = b""
        self._value = b""

    def begin(self) -> None:
        if len(self.parts) >= self._max_parts:
            raise Refusal(422, "too_many_images", f"the body has more than {self._max_parts} parts")
        self.parts.append(Part())
        self._headers = {}

    def data(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].content += memoryview(data)[start:end]

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        part = self.parts[-1]
        part.name = _text(options.get(b"name", b""))
        if b"filename" in options:
            part.filename = _text(options[b"filename"])

    def end(self) -> None:
        self.whole = True


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")[:_MAX_NAME]
