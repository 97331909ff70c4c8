"""TRBA: Baek et al., "What Is Wrong With Scene Text Recognition Model Comparisons?", ICCV 2019."""

from strhub.models.trba.model import TRBA

__all__ = ["Network"]

Network = TRBA
