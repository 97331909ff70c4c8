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

    batch_size: int = _option(32, "images per batch", int)
    turn_tall: bool = _option(
        True,
        "read tall images as they are, without trying them rotated by 90 degrees",
        off="no_turning",
    )
    reread_below: float | None = _option(
        None,
        "re-read, in other views, words read with less confidence than this; 0: never; by default "
        "as the model's file says, for most 0.7",
        float,
        metavar="CONFIDENCE",
    )
    upside_down: bool = _option(False, "when re-reading, try the image rotated by 180 degrees, too")
    lines: bool = _option(False, "each image is a line of several words: read the spaces, too")
    precision: str = _option(
        "float32",
        "float32 (the same readings on every machine), bfloat16, float16, or auto (bfloat16 on "
        "devices that support it)",
        str,
        metavar="KIND",
    )
    compile: bool | str = _option(False, "compile the model with torch.compile first")
    threads: int | None = _option(
        None, "CPU threads to use; by default as many as there are cores", int
    )
    top_k: int = _option(
        1, "number of readings to return for each image, best first", int, metavar="N"
    )
    beam_width: int | None = _option(
        None,
        "number of hypotheses that beam search keeps; by default 8 if another option needs a "
        "search, otherwise 1",
        int,
        metavar="N",
    )
    length_normalization: float = _option(
        0.0,
        "exponent of the length by which beam search divides scores; higher ones favor longer "
        "texts",
        float,
        metavar="A",
    )
    lexicon: Sequence[str] | None = _option(
        None, "read only words of this list, a file with one word per line", str, metavar="FILE"
    )
    whitelist: str | None = _option(None, "read only these characters", str, metavar="CHARS")

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
