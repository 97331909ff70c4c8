"""Rendered words for training: texts, a renderer, settings of what it does, and an endless indexed
set of words.
"""

from importlib import import_module
from typing import Any

from strhub.data.synth.dataset import RenderedWords
from strhub.data.synth.render import WordRenderer
from strhub.data.synth.settings import load_style, style_names
from strhub.data.synth.text import TextSampler

__all__ = ["RenderedWords", "TextSampler", "WordRenderer", "load_style", "style_names"]


def __getattr__(name: str) -> Any:
    """Find names that have changed, and warn."""
    from strhub.utils.options import warn_renamed

    if name == "DrawnWords":
        return import_module("strhub.data.synth.former").DrawnWords
    renamed = {"load_drawing": load_style, "drawing_names": style_names}
    if name not in renamed:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warn_renamed(name, renamed[name].__name__)
    return renamed[name]
