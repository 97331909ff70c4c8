"""The models that come with the package: their names, and their files. Nothing else of them is
known here.

Two files stand for each: the weights, and a graph for ONNX Runtime that points at them.
"""

from importlib.resources import files
from pathlib import Path

EMBEDDED = "strhub-small"  # what is read with by default
EMBEDDED_MODELS = (EMBEDDED, "strhub-tiny")


def embedded_weights(name: str = EMBEDDED) -> Path:
    """Return the safetensors file of an embedded model."""
    return Path(str(files("strhub") / "weights" / f"{name}.safetensors"))


def embedded_graph(name: str = EMBEDDED) -> Path:
    """Return its .onnx file, which `strhub.export.export_beside` writes."""
    return embedded_weights(name).with_suffix(".onnx")


def embedded_detector() -> Path:
    """Return the .onnx file of the detector of text in photographs, which `tools/embed_detector.py`
    makes.
    """
    return Path(str(files("strhub") / "weights" / "detector.onnx"))
