"""Rendered words by the names that they had before; they warn, and work until
`REMOVED_IN`."""

from __future__ import annotations

from typing import Any

from PIL import Image

from strhub.data.synth.dataset import RenderedWords
from strhub.utils.options import take_renamed, warn_renamed

__all__ = ["DrawnWords"]


class DrawnWords(RenderedWords):
    """`RenderedWords`, with `drawing` for `style`, and `draw` for `render`."""

    def __init__(self, **options: Any) -> None:
        warn_renamed("DrawnWords", "RenderedWords")
        super().__init__(**take_renamed(options, {"drawing": "style"}))

    def draw(self, index: int) -> tuple[Image.Image, str]:
        """Return what `render` does."""
        warn_renamed("draw", "render")
        return self.render(index)

    def draw_encoded(self, index: int) -> tuple[bytes, str]:
        """Return what `render_encoded` does."""
        warn_renamed("draw_encoded", "render_encoded")
        return self.render_encoded(index)
