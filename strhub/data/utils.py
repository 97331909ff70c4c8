"""The address that the reference uses for tokenizers and charsets; see `strhub.text`."""

from strhub.text import AttentionTokenizer, CharsetAdapter, CTCTokenizer
from strhub.text import Tokenizer as BaseTokenizer

__all__ = ["BaseTokenizer", "CTCTokenizer", "CharsetAdapter", "Tokenizer"]

Tokenizer = AttentionTokenizer
