"""ABINet: Fang et al., "Read Like Humans: Autonomous, Bidirectional and Iterative Language
Modeling", CVPR 2021.
"""

from strhub.models.abinet.model import ABINet as Network

__all__ = ["Network"]
