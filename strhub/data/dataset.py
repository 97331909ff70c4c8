"""The address that the reference uses for data sets: ours, and those of its own names in
`strhub.data.reference`.
"""

from strhub.utils.moved import moved

__getattr__ = moved(__name__, "strhub.data.sources.dataset", "strhub.data.reference")
