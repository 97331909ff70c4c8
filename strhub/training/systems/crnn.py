"""CRNN's training: connectionist temporal classification."""

from __future__ import annotations

from strhub.models import crnn
from strhub.training.systems.ctc import CTCSystem


class CRNN(CTCSystem):
    """Train CRNN. All options are those of the network and of `System`."""

    architecture = "crnn"
    model: crnn.Network
