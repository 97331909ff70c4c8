"""The light CTC recognizer's training: connectionist temporal classification."""

from __future__ import annotations

from typing import Any

from strhub.models import light_ctc
from strhub.training.systems.ctc import CTCSystem


class LightCTC(CTCSystem):
    """Train the light CTC recognizer.

    keep_aspect: images are brought to the model's height with their aspect kept, rather than to its
    greatest width; the data must be made so, too. All options of the network and of `System`
    besides.
    """

    architecture = "light_ctc"
    model: light_ctc.Network

    def __init__(self, *, keep_aspect: bool = True, **options: Any) -> None:
        super().__init__(keep_aspect=keep_aspect, **options)
