"""ABINet's language model: it corrects a text, given as probabilities, without seeing the image
(section 3.2).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from strhub.models.abinet.transformer import (
    ClozeUnit,
    Estimate,
    PositionalEncoding,
    Stack,
    UnitSizes,
)


class LanguageModel(nn.Module):
    """Bidirectional cloze network: each character is told from all others (section 3.2.2, figure
    4).

    steps: T, the positions a text has, one for [E] included; classes: C, [E] (id 0) and the
        charset.
    detach: let no gradient through to what is corrected (section 3.2.1, "autonomous").
    """

    def __init__(
        self,
        *,
        steps: int,
        classes: int,
        sizes: UnitSizes,
        depth: int,
        detach: bool,
        self_attention: bool,
    ) -> None:
        super().__init__()
        self.detach = detach
        self.proj = nn.Linear(classes, sizes.embed_dim, bias=False)
        self.token_encoder = PositionalEncoding(
            length=steps, embed_dim=sizes.embed_dim, dropout=sizes.dropout
        )
        self.pos_encoder = PositionalEncoding(length=steps, embed_dim=sizes.embed_dim)
        self.model = Stack(ClozeUnit(sizes, self_attention=self_attention) for _ in range(depth))
        self.cls = nn.Linear(sizes.embed_dim, classes)

    def forward(self, probabilities: Tensor) -> Estimate:
        """Correct texts: probabilities (B, T, C), of one-hot characters or a model's own."""
        if self.detach:
            probabilities = probabilities.detach()
        visible = visible_characters(probabilities.argmax(-1))[:, None, None]  # (B, 1, 1, T)
        itself = torch.eye(
            probabilities.shape[1], dtype=torch.bool, device=probabilities.device
        )  # (T, T)
        content = self.token_encoder(self.proj(probabilities))  # (B, T, D)
        query = self.pos_encoder.table().expand(probabilities.shape[0], -1, -1)  # (B, T, D)
        features = self.model(query, content, visible, visible & ~itself)
        return Estimate(features, self.cls(features))


def visible_characters(ids: Tensor) -> Tensor:
    """Return which of the characters (B, T) come before or are the first [E] (id 0), as bool (B,
    T).

    At least the first two, so that each position has another one to look at.
    """
    ends = (ids == 0).long()
    visible = ends.cumsum(-1) - ends == 0
    visible[:, :2] = True
    return visible
