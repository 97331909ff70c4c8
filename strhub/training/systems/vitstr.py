"""ViTSTR's training: cross-entropy of each token (section 3.1 of the paper)."""

from __future__ import annotations

from strhub.models import vitstr
from strhub.training.systems.cross_entropy import CrossEntropySystem


class ViTSTR(CrossEntropySystem):
    """Train ViTSTR. All options are those of the network and of `System`."""

    architecture = "vitstr"
    model: vitstr.Network
