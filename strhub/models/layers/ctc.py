"""Connectionist temporal classification (Graves et al. 2006): texts from columns that are read each
by itself.

Id 0 is the blank. A text is what is left of the best id of each column when repeats are merged and
blanks dropped.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def ctc_loss(
    logits: Tensor, tokens: Tensor, lengths: Tensor, columns: Tensor | None = None
) -> Tensor:
    """Return the negative log-likelihood a character, mean over texts (section 4.1). A scalar, in
    32 bits.

    logits: (B, W, C), id 0 the blank; tokens: (B, T) ids of characters, padded with anything;
    lengths: (B), integers, how many of them a text has; columns: how many of the W are an image's
    own, (B), by default all. A text that needs more columns than there are counts as nothing: no
    alignment has it, so its likelihood is zero and its loss infinite.
    """
    log_probs = logits.float().log_softmax(-1).transpose(0, 1)  # (B, W, C) -> (W, B, C)
    widths = torch.full_like(lengths, len(log_probs)) if columns is None else columns
    return F.ctc_loss(log_probs, tokens, widths, lengths, zero_infinity=True)


def check_columns(columns: int, max_label_length: int) -> None:
    """Raise `ValueError` if a text of the greatest length cannot be read from that many columns."""
    if columns < max_label_length:
        raise ValueError(
            f"max_label_length is {max_label_length}, but images of this width give {columns} "
            "columns to read, "
            "at most one character each: make img_size wider or max_label_length smaller"
        )
