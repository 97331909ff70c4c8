"""The models that come with the package: their names, and their files. Nothing else of them is
known here.

Two files stand for each: the weights, and a graph for ONNX Runtime that points at them. Besides,
the names of one that others publish, and that strhub reads where its package is installed.
"""

from importlib.resources import files
from pathlib import Path

EMBEDDED = "strhub-small"  # what is read with by default
EMBEDDED_MODELS = (EMBEDDED, "strhub-tiny")
PUBLISHED = ("ppocrv6-small", "strhub-small-multi")  # see `strhub.checkpoint.published`
# in the wheel of RapidOCR, and below site-packages
PUBLISHED_FILE = "rapidocr/models/PP-OCRv6_rec_small.onnx"


def is_published(source: str | Path) -> bool:
    """Return whether a source names PP-OCRv6's recognizer as published: by `ppocrv6-small`,
    `ppocrv6-small@<file>` or the like, or by the path of its .onnx file or of RapidOCR's wheel.
    """
    name = str(source).removeprefix("pretrained=").partition("@")[0]
    path = Path(source)
    wheel = path.suffix == ".whl" and path.name.startswith("rapidocr")
    return name in PUBLISHED or wheel or path.name == Path(PUBLISHED_FILE).name


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
