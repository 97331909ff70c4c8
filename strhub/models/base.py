"""The address that the reference uses for `strhub.training.systems.base`."""

from strhub.utils.moved import moved

__getattr__ = moved(__name__, "strhub.training.systems.base")
