"""TRBC's training: connectionist temporal classification."""

from __future__ import annotations

from strhub.models import trbc
from strhub.training.systems.ctc import CTCSystem


class TRBC(CTCSystem):
    """Train TRBC. All options are those of the network and of `System`."""

    architecture = "trbc"
    model: trbc.Network
