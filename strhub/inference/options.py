"""The options of reading, in one place: their defaults, what they mean, and their command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

__all__ = ["ReadOptions"]


def _option(default: Any, text: str, kind: type = bool, **more: Any) -> Any:
    """Return a field with what its argument needs: a help text, the kind of its value, and
    `metavar`.
    """
    return field(default=default, metadata={"help": text, "kind": kind, **more})


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How images are read, whatever model reads them: see `strhub.Recognizer`, which takes all of
    these by the same names.

    The metadata of each field are the help text and the kind of its argument; a switch whose
    default is true has `off`, the name of the argument that switches it off.
    """

    batch_size: int = _option(32, "images at a time", int)
    turn_tall: bool = _option(
        True, "read tall images upright only, not on their sides", off="no_turning"
    )
    reread_below: float | None = _option(
        None,
        "re-read, in other ways, what is read with less confidence than this (0.7); 0: never",
        float,
        metavar="CONFIDENCE",
    )
    upside_down: bool = _option(False, "re-read it turned by 180 degrees, too")
    lines: bool = _option(False, "each image is a line of words: read its spaces, too")
    precision: str = _option(
        "float32",
        "float32 (the default: the same readings on every machine), bfloat16, float16, or auto: "
        "bfloat16 where the device computes in it",
        str,
        metavar="KIND",
    )
    compile: bool | str = _option(False, "let PyTorch compile the model first")
    threads: int | None = _option(None, "CPU threads to compute with", int)
    top_k: int = _option(1, "how many readings to give, the best first", int, metavar="N")
    beam_width: int | None = _option(
        None, "how many beginnings of texts the search keeps", int, metavar="N"
    )
    length_normalization: float = _option(
        0.0, "greater than 0: longer texts win more often", float, metavar="A"
    )
    lexicon: Sequence[str] | None = _option(
        None, "read only the words of this list, one a line", str, metavar="FILE"
    )
    whitelist: str | None = _option(None, "read only these characters", str, metavar="CHARACTERS")

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of all options."""
        return tuple(one.name for one in fields(cls))

    @classmethod
    def meaning(cls, name: str) -> Mapping[str, Any]:
        """Return help text, kind and the like of an option; `KeyError` if there is none."""
        return {one.name: one.metadata for one in fields(cls)}[name]

    def keywords(self) -> dict[str, Any]:
        """Return all of them as keyword arguments of `strhub.Recognizer`."""
        return asdict(self)

    def changed(self) -> dict[str, Any]:
        """Return those that are not as they are by default."""
        usual = asdict(ReadOptions())
        return {name: value for name, value in asdict(self).items() if value != usual[name]}
