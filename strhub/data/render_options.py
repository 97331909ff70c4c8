"""Which words a run renders, and how: the options below `data.render`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from strhub.utils.option_types import check_group, check_types, parameters_of
from strhub.utils.options import check_options

__all__ = ["RENDERED", "RenderOptions"]

RENDERED: Final = "rendered"
"""The name in a mixture that stands for rendered words."""


@dataclass(frozen=True)
class RenderOptions:
    """Words that are rendered as they are needed.

    words: how many an epoch, instead of training sets; 0: none. validation: how many to validate
        on, always the same, instead of root_dir/val; 0: none.
    difficulty: how hard they are to read, from 0 to 1, or [lowest, highest]. max_length: of the
        longest in characters; None: as long as labels may be.
    texts: which texts, options of `strhub.data.synth.TextSampler`. fonts: font files or folders of
        them; None: those of the package. style: what they look like: a name in `configs/style`, a
        path or a mapping. blanks: fraction of images with nothing to read and an empty label.
    augment: whether they are augmented as stored images are.
    """

    words: int = 0
    validation: int = 0
    difficulty: float | Sequence[float] = 0.5
    max_length: int | None = None
    texts: Mapping[str, Any] | None = None
    fonts: str | Path | Sequence[str | Path] | None = None
    style: str | Path | Mapping[str, Any] = "default"
    blanks: float = 0.0
    augment: bool = True

    @classmethod
    def of(cls, options: RenderOptions | Mapping[str, Any] | None) -> RenderOptions:
        """Return what a configuration says; `ConfigError` or `ValueError`, one line, for an unknown
        name or a value of another type.
        """
        if isinstance(options, cls):
            return options
        check_types({"render": options}, {"render": Mapping[str, Any] | None}, "data")
        found = dict(options) if isinstance(options, Mapping) else {}
        check_group(found, cls, "data.render")
        if found.get("texts"):
            _check_texts(found["texts"])
        return cls(**found)

    def longest(self, limit: int) -> int:
        """Return how many characters a text may have where labels may have `limit`."""
        return min(self.max_length or limit, limit)


def _check_texts(texts: Mapping[str, Any]) -> None:
    """Raise an error of one line for options that `TextSampler` does not have or take."""
    from strhub.data.synth.text import TextSampler

    known = parameters_of(TextSampler)[0]
    own = {name: known[name] for name in known if name not in ("charset", "max_length")}
    check_options(texts, own, "'data.render.texts'")
    check_types(texts, own, "data.render.texts")
