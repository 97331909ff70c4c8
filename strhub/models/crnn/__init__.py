"""CRNN: Shi, Bai & Yao, "An End-to-End Trainable Neural Network for Image-based Sequence
Recognition", TPAMI 2017.
"""

from strhub.models.crnn.model import CRNN

__all__ = ["Network"]

Network = CRNN
