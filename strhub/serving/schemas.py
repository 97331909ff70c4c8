"""What goes in and comes out, as OpenAPI describes it; answers are tested against these."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "PIXEL",
    "Batch",
    "Failure",
    "Input",
    "Models",
    "PageResult",
    "Photos",
    "ReadAnswer",
    "ReadResult",
    "SpotAnswer",
    "Status",
]

# A file of one pixel.
PIXEL: Final = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAG7buVgAAAABJRU5ErkJggg=="
)
DEFAULT: Final = ""  # of what is not said; nobody can say it
Fraction = Annotated[float, Field(ge=0, le=1)]


class Input(BaseModel):
    """One image: its file in base64, or its address where the service fetches such."""

    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(max_length=255)] = ""
    data: str = ""
    url: Annotated[str, Field(max_length=2000)] = ""

    @model_validator(mode="after")
    def _one_of_two(self) -> Input:
        if len(self.model_fields_set & {"data", "url"}) != 1:
            raise ValueError("an image has either data or url")
        return self


class Photos(BaseModel):
    """Photographs in JSON; no model stands for the default one."""

    model_config = ConfigDict(extra="forbid")
    images: Annotated[list[Input], Field(min_length=1)]
    model: Annotated[str, Field(min_length=1)] = DEFAULT


class Batch(Photos):
    """Words in JSON."""

    decoding: Annotated[str, Field(min_length=1)] = DEFAULT


class Alternative(BaseModel):
    """Another reading."""

    text: str
    confidence: Fraction


class ReadWord(BaseModel):
    """A word of a line; start and end are fractions of the image's width."""

    text: str
    confidence: Fraction
    start: float
    end: float


class ReadResult(BaseModel):
    """What was read in one image. `error` says why it could not be read."""

    index: int
    name: str | None = None
    text: str
    confidence: Fraction
    character_confidences: list[Fraction]
    alternatives: list[Alternative]
    words: list[ReadWord]
    rotation: int
    error: str | None = None


class ReadAnswer(BaseModel):
    """The readings, in the order of the images."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "strhub-small",
                    "decoding": "default",
                    "results": [
                        {
                            "index": 0,
                            "name": "a.png",
                            "text": "COFFEE",
                            "confidence": 0.97,
                            "character_confidences": [0.99, 0.99, 1.0, 1.0, 0.99, 1.0],
                            "alternatives": [],
                            "words": [],
                            "rotation": 0,
                            "error": None,
                        }
                    ],
                }
            ]
        }
    )
    model: str
    decoding: str
    results: list[ReadResult]


Point = Annotated[list[float], Field(min_length=2, max_length=2)]
Quad = Annotated[
    list[Point],
    Field(min_length=4, max_length=4, description="Corners in pixels, clockwise."),
]


class PageWord(BaseModel):
    """A word of a photograph."""

    text: str
    confidence: Fraction
    character_confidences: list[Fraction]
    quad: Quad


class PageLine(BaseModel):
    """A line, its words from left to right."""

    text: str
    confidence: Fraction
    quad: Quad
    rotation: int
    words: list[PageWord]


class PageParagraph(BaseModel):
    """Lines that belong together."""

    text: str
    lines: list[PageLine]


class PageResult(BaseModel):
    """What was read in one photograph, in reading order. `error` says why it could not be read."""

    index: int
    name: str | None = None
    size: Annotated[list[int], Field(min_length=2, max_length=2)]
    rotation: int
    text: str
    paragraphs: list[PageParagraph]
    error: str | None = None


class SpotAnswer(BaseModel):
    """The pages, in the order of the photographs."""

    model: str
    results: list[PageResult]


class Model(BaseModel):
    """A model, and the ways in which it reads words."""

    name: str
    decodings: list[str]


class Models(BaseModel):
    """The models that are served, the default one first."""

    models: list[Model]


class Status(BaseModel):
    """Whether the service is there, or ready."""

    status: str


class Reason(BaseModel):
    """code: for programs; message: for people."""

    code: str
    message: str


class Failure(BaseModel):
    """Why a request was not answered."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"error": {"code": "too_large", "message": "the body is over 32 MiB, the largest"}}
            ]
        }
    )
    error: Reason
