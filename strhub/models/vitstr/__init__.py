"""ViTSTR: Atienza, "Vision Transformer for Fast and Efficient Scene Text Recognition", ICDAR
2021.
"""

from strhub.models.vitstr.model import ViTSTR

__all__ = ["Network"]

Network = ViTSTR
