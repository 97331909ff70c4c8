"""Rendered words for training: texts, a renderer, settings of what it does, and an endless indexed set of words."""

from strhub.data.synth.dataset import DrawnWords
from strhub.data.synth.render import WordRenderer
from strhub.data.synth.settings import drawing_names, load_drawing
from strhub.data.synth.text import TextSampler

__all__ = ["DrawnWords", "TextSampler", "WordRenderer", "drawing_names", "load_drawing"]
