"""The model that comes with the package: its name, and its files. Nothing else of it is known here.

Two files stand for it: the weights, and a graph for ONNX Runtime that points at them.
"""

from importlib.resources import files
from pathlib import Path

EMBEDDED = "strhub-tiny"


def embedded_weights() -> Path:
    """Its safetensors file."""
    return Path(str(files("strhub") / "weights" / f"{EMBEDDED}.safetensors"))


def embedded_graph() -> Path:
    """Its .onnx file, which `strhub.export.export_beside` writes."""
    return embedded_weights().with_suffix(".onnx")
