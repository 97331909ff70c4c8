"""A page of the errors on photographs: each with its words outlined, and what was missed, misread
and made up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from PIL import Image, ImageDraw

from strhub.evaluation.photographs import PhotoResult, total
from strhub.evaluation.report.shell import data_uri, render

SIZE: Final = (900, 700)  # pixels that a photograph is reduced to
MOST: Final = 200  # photographs on a page, those with most errors
COLORS: Final = {
    "right": (22, 150, 60),
    "wrong": (230, 150, 0),
    "missed": (220, 30, 30),
    "extra": (150, 60, 220),
}
_CROP: Final = (240, 80)
_LEAST_HEIGHT: Final = 60  # pixels, at most four times those of the word


def photographs_page(results: Sequence[PhotoResult], title: str) -> str:
    """Return a page in one HTML file: the score, and the photographs with most errors first, at
    most 200 of them.
    """
    wrong = [result for result in results if errors_of(result)]
    ranked = sorted(wrong, key=errors_of, reverse=True)[:MOST]
    score = total(results)
    return render(
        "photographs.html",
        title=title,
        score=score,
        precision=score.right / max(score.found, 1),
        recall=score.right / max(score.true, 1),
        photographs=len(results),
        flawless=len(results) - len(wrong),
        left_out=len(wrong) - len(ranked),
        images=list(_shown(ranked)),
    )


def errors_of(result: PhotoResult) -> int:
    """Return how many words were missed, misread or made up."""
    misread = sum(not right for *_, right in result.matches.pairs)
    return (
        misread
        + len(result.matches.missed)
        + len(result.matches.extra)
        + (result.page.error is not None)
    )


def _shown(results: Iterable[PhotoResult]) -> Iterator[dict[str, Any]]:
    for result in results:
        if result.page.error is not None:
            yield {
                "name": result.photo.path.name,
                "error": result.page.error,
                "words": [],
                "drawn": None,
            }
            continue
        image = result.page.image or result.photo.open()
        words = list(_words(result))
        shown = [word for word in words if word["kind"] != "right"]
        for word in shown:
            word["crop"] = data_uri(_crop(image, word["outline"]), _CROP)
        overlay = data_uri(_draw_overlay(image, words), SIZE)
        yield {"name": result.photo.path.name, "error": None, "words": shown, "drawn": overlay}


def _words(result: PhotoResult) -> Iterator[dict[str, Any]]:
    true, found = result.photo.words, result.page.words
    for t, f, right in result.matches.pairs:
        yield {
            "kind": "right" if right else "wrong",
            "true": true[t].text,
            "read": found[f].text,
            "outline": true[t].outline,
            "confidence": found[f].confidence,
        }
    for t in result.matches.missed:
        yield {
            "kind": "missed",
            "true": true[t].text,
            "read": None,
            "outline": true[t].outline,
            "confidence": None,
        }
    for f in result.matches.extra:
        yield {
            "kind": "extra",
            "true": None,
            "read": found[f].text,
            "outline": found[f].quad,
            "confidence": found[f].confidence,
        }


def _crop(image: Image.Image, outline: Sequence[tuple[float, float]]) -> Image.Image:
    """Return the upright box around an outline, with a third of its height around it."""
    xs, ys = [x for x, _ in outline], [y for _, y in outline]
    room = (max(ys) - min(ys)) / 3
    left, top = max(0, round(min(xs) - room)), max(0, round(min(ys) - room))
    right, bottom = (
        min(image.width, round(max(xs) + room)),
        min(image.height, round(max(ys) + room)),
    )
    if right <= left or bottom <= top:
        return Image.new("RGB", (8, 8), "gray")
    crop = image.crop((left, top, right, bottom))
    larger = min(
        4, _LEAST_HEIGHT // crop.height
    )  # small ones, so that they can be read on the page
    return crop.resize((larger * crop.width, larger * crop.height)) if larger > 1 else crop


def _draw_overlay(image: Image.Image, words: Sequence[dict[str, Any]]) -> Image.Image:
    ratio = min(1.0, SIZE[0] / image.width, SIZE[1] / image.height)
    overlay = image.resize(
        (max(1, round(image.width * ratio)), max(1, round(image.height * ratio)))
    )
    pen = ImageDraw.Draw(overlay)
    for word in words:
        pen.polygon(
            [(x * ratio, y * ratio) for x, y in word["outline"]],
            outline=COLORS[word["kind"]],
            width=2,
        )
    return overlay
