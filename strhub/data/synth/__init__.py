"""Rendered words for training: texts, a renderer, settings of what it does, and an endless indexed
set of words.
"""

from strhub.data.synth.dataset import RenderedWords
from strhub.data.synth.render import WordRenderer
from strhub.data.synth.settings import load_style, style_names
from strhub.data.synth.text import TextSampler

__all__ = ["RenderedWords", "TextSampler", "WordRenderer", "load_style", "style_names"]
