"""TRBC: TRBA's first three stages with CTC; Baek et al., ICCV 2019, who call it
TPS-ResNet-BiLSTM-CTC.
"""

from strhub.models.trbc.model import TRBC

__all__ = ["Network"]

Network = TRBC
