"""The frame of every page: one file that fetches nothing, in light and dark, for wide and narrow
windows.

In: a template of `templates/` and values, or a body that is ready. Out: HTML. Texts may hold
anything: templates escape them, and the filter `shown` writes what cannot be seen as its code.
"""

from __future__ import annotations

import io
from base64 import b64encode
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

__all__ = ["data_uri", "html_page", "percent", "render", "shown"]

TEMPLATES: Final = Path(__file__).parent / "templates"
IMAGE_SIZE: Final = (320, 96)  # width, height in pixels that an image is reduced to if it is larger
_INVISIBLE: Final = " "


def render(template: str, **values: Any) -> str:
    """Return a template filled with values; `jinja2.UndefinedError` if one is missing."""
    return _environment().get_template(template).render(**values)


def html_page(title: str, body: Markup) -> str:
    """Return a page around a body of HTML that is ready, in the style of all pages."""
    return render("shell.html", title=title, body=body)


def shown(text: object) -> str:
    """Return a text with each character that cannot be seen, or turns the direction of writing, as
    its code.
    """
    return "".join(c if c == _INVISIBLE or c.isprintable() else ascii(c)[1:-1] for c in str(text))


def percent(fraction: float | None, digits: int = 1) -> str:
    """Return a fraction in percent, a dash for none."""
    return "–" if fraction is None else f"{100 * fraction:.{digits}f}"


def data_uri(image: Image.Image, size: tuple[int, int] = IMAGE_SIZE) -> str:
    """Return an image as an address that holds it: encoded anew, so that no byte of a file is
    passed on.

    size: width and height in pixels that it is reduced to if it is larger.
    """
    image = image.convert("RGB")
    image.thumbnail(size, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=80, method=2)
    return f"data:image/webp;base64,{b64encode(buffer.getvalue()).decode()}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = shown
    environment.filters["percent"] = percent
    return environment
