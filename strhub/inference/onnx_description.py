"""What an exported file says of itself, each value checked, before a runtime is given the file.

The description is JSON in the file's metadata, written by `strhub.export`. A graph may point at one
other file, of weights, which the description names and which lies beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from strhub.checkpoint.schema import checked, checked_card, parse_json, with_new_names
from strhub.errors import CheckpointError
from strhub.inference.onnx_file import OnnxFile, read_onnx_file

__all__ = [
    "FORMAT",
    "IMAGES",
    "LOGITS",
    "METADATA_KEY",
    "check_graph",
    "checked_description",
    "file_contents",
    "header_hash",
    "read_description",
]

FORMAT = 1  # of the metadata; a reader takes files of its own format and older ones
METADATA_KEY = "strhub"
IMAGES, LOGITS = "images", "logits"  # names of the graph's input and output

_LARGEST_HEADER = 100 << 20  # bytes
_SPARE_VALUES = 1 << 20
_NEEDED = ("architecture", "tokenizer", "charset", "img_size", "normalize")
# By the names and kinds of hyper-parameters; see `strhub.checkpoint.schema`.
_KINDS: dict[str, Any] = {
    "format": int, "architecture": str, "tokenizer": str, "charset": str, "img_size": Sequence[int],
    "keep_aspect": bool, "normalize": str, "temperature": float, "max_label_length": int,
    "precision": str, "reread_correction": Sequence[float], "calibration": Sequence[float],
    "padding": Sequence[int], "reread_below": float,
}  # fmt: skip


def read_description(model: str | Path) -> dict[str, Any]:
    """Return what a file says of itself.

    Raises `CheckpointError` for a file that is not there, damaged, not of strhub, or too new, and
    for one that points at other files of tensors than the one of weights beside it.
    """
    path = Path(model)
    contents = file_contents(path)
    text = contents.metadata.get(METADATA_KEY)
    if text is None:
        raise CheckpointError(
            f"{model} is an ONNX file, but not one of strhub: ./export.py writes those"
        )
    found = checked_description(text, model)
    weights = found.pop("weights")
    if weights is not None:
        found["weights"] = _checked_weights(weights, path)
    named = {found["weights"]["file"]} if "weights" in found else set[str]()
    if foreign := contents.locations - named:
        raise CheckpointError(
            f"{model} points at files that do not belong to it: {_listed(foreign)}"
        )
    return found


def checked_description(text: str, model: str | Path) -> dict[str, Any]:
    """Return what a file says of itself, each value checked but `weights`; `CheckpointError` if
    that cannot be.
    """
    described = parse_json(text, f"{model}: its description is damaged and")
    if not isinstance(described, dict) or not isinstance(described.get("format"), int):
        raise CheckpointError(f"{model}: its description is damaged; export it again")
    described = with_new_names(described)
    if described["format"] > FORMAT:
        raise CheckpointError(
            f"{model} has format {described['format']}, this strhub reads up to {FORMAT}: update "
            "strhub"
        )
    missing = [name for name in _NEEDED if name not in described]
    if missing:
        raise CheckpointError(f"{model} does not say its {', '.join(missing)}; export it again")
    found = {
        name: checked(name, described[name], kind, str(model))
        for name, kind in _KINDS.items()
        if name in described
    }
    decoding = described.get("decoding", {})
    if not isinstance(decoding, dict):
        raise CheckpointError(f"{model}: its decoding is not a mapping; export it again")
    found["decoding"] = {
        str(name): checked(str(name), value, Any, str(model)) for name, value in decoding.items()
    }
    found["card"] = checked_card(described.get("card", {}), str(model))
    found["weights"] = described.get("weights")
    return found


def file_contents(path: Path) -> OnnxFile:
    """Return what a file holds; `CheckpointError` if it points at more than files beside it, or
    lies about its size.
    """
    if not path.is_file():
        raise CheckpointError(f"there is no file {path}: ./export.py <model> {path.name} makes one")
    try:
        contents = read_onnx_file(path)
    except (ValueError, OverflowError) as error:
        raise CheckpointError(f"{path} cannot be loaded: {error}. Is the file whole?") from error
    for name in contents.locations:
        if (
            name in ("", ".", "..")
            or any(mark in name for mark in "/\\:\0")
            or not (path.parent / name).is_file()
        ):
            raise CheckpointError(
                f"{path} cannot be loaded: its weights are in {_listed([name])}, which is not a "
                "file beside it. "
                "Is the file whole, and that of its weights, if they are in another?"
            )
    stored = sum((path.parent / name).stat().st_size for name in {*contents.locations, path.name})
    if contents.values > 2 * stored + _SPARE_VALUES:
        raise CheckpointError(
            f"{path} cannot be loaded: it says that it has more numbers than there are. Is the "
            "file whole, and that of "
            "its weights, if they are in another?"
        )
    return contents._replace(stored=stored)


def check_graph(session: Any, description: dict[str, Any], model: str | Path) -> None:
    """Raise `CheckpointError` unless a session's graph takes images of the size that its
    description says.
    """
    inputs, outputs = session.get_inputs(), [output.name for output in session.get_outputs()]
    shape = (
        inputs[0].shape
        if len(inputs) == 1 and inputs[0].name == IMAGES and LOGITS in outputs
        else []
    )
    said = [3, *description["img_size"]]
    if len(shape) != 4 or any(
        size not in (wanted, None) and not isinstance(size, str)
        for size, wanted in zip(shape[1:], said, strict=True)
    ):
        raise CheckpointError(
            f"{model}: its graph takes {shape or 'other inputs'}, but its description says {said}; "
            "export it again"
        )


def header_hash(path: Path) -> str:
    """Return the SHA-256 of a safetensors file's header, which says where each tensor lies, and all
    about the model.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return hashlib.sha256(file.read(min(length, _LARGEST_HEADER))).hexdigest()


def _checked_weights(weights: Any, model: Path) -> dict[str, str]:
    """Return whether the file of weights that a graph points at is there, and still the one that it
    was written for.
    """
    stored = weights if isinstance(weights, dict) else {}
    name, header = (
        checked("weights", stored.get(key), str, str(model)) for key in ("file", "header")
    )
    path = model.parent / name
    if path.name != name or not path.is_file():
        raise CheckpointError(
            f"{model} needs the file {_listed([name])} beside it, with its weights"
        )
    if header_hash(path) != header:
        raise CheckpointError(
            f"{model} was written for other weights than are in {path}: strhub.export.export_beside"
        )
    return {"file": name, "header": header}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(ascii(name[:100]) for name in sorted(names))
