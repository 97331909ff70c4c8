"""Characters, labels and tokens: everything that knows text, and nothing of pictures or tensors' origin."""

from strhub.text.charset import (
    CHARSET_36,
    CHARSET_62,
    CHARSET_94,
    CharsetAdapter,
    DroppedLabel,
    LabelPreparation,
    check_charset,
    fold_to_ascii,
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
    "Tokenizer",
    "check_charset",
    "fold_to_ascii",
]
