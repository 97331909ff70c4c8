"""A light CTC recognizer: the encoder of PP-OCRv6's small recognizer (PaddleOCR, 2026) and one
linear layer.
"""

from strhub.models.light_ctc.model import LightCTC as Network

__all__ = ["Network"]
