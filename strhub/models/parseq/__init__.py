"""PARSeq: Bautista & Atienza, "Scene Text Recognition with Permuted Autoregressive Sequence
Models", ECCV 2022.
"""

from strhub.models.parseq.model import PARSeq as Network

__all__ = ["Network"]
