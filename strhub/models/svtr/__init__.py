"""SVTRv2: Du et al., "SVTRv2: CTC Beats Encoder-Decoder Models in Scene Text Recognition", ICCV
2025.
"""

from strhub.models.svtr.model import SVTRv2 as Network

__all__ = ["Network"]
