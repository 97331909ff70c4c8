"""Drawn words for training: texts, a renderer and an endless indexed set of both."""

from strhub.data.synth.dataset import DrawnWords
from strhub.data.synth.render import WordRenderer
from strhub.data.synth.text import TextSampler

__all__ = ["DrawnWords", "TextSampler", "WordRenderer"]
