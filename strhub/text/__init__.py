"""Characters, labels and tokens: everything that knows text, and nothing of images or tensors'
origin.
"""

from strhub.text.charset import (
    CHARSET_36,
    CHARSET_62,
    CHARSET_94,
    CharsetAdapter,
    DroppedLabel,
    LabelPreparation,
    ScoredText,
    check_charset,
    fold_to_ascii,
    scored_charset,
)
from strhub.text.tokenizer import AttentionTokenizer, CTCTokenizer, Tokenizer

__all__ = [
    "CHARSET_36",
    "CHARSET_62",
    "CHARSET_94",
    "AttentionTokenizer",
    "CTCTokenizer",
    "CharsetAdapter",
    "DroppedLabel",
    "LabelPreparation",
    "ScoredText",
    "Tokenizer",
    "check_charset",
    "fold_to_ascii",
    "scored_charset",
]
