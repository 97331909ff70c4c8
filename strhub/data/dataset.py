"""The address that the reference uses for `strhub.data.sources.dataset`."""

from strhub.utils.moved import moved

__getattr__ = moved(__name__, "strhub.data.sources.dataset")
