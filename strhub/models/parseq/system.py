"""The address that checkpoints and the reference use for `strhub.training.systems.parseq`."""

from strhub.utils.moved import moved

__getattr__ = moved(__name__, "strhub.training.systems.parseq")
