"""Where a model looked: attention of a PARSeq, columns of a CTC network, as numbers for a page to
draw.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from threading import Lock
from typing import Any, Final, Literal

import numpy as np
from PIL import Image

import strhub
from strhub.errors import UnreadableImage
from strhub.images.open import open_image
from strhub.images.sources import Encoded
from strhub.inference.engine import Engine, NetworkEngine
from strhub.serving.reading import ServedModel

__all__ = ["Explainer", "explains"]

_DECIMALS: Final = 3
Kind = Literal["attention", "columns"]


def explains(engine: Engine) -> Kind | None:
    """Return what can be told of an engine: columns of a CTC network, attention of a PARSeq where
    PyTorch is installed, else nothing.
    """
    if not isinstance(engine, NetworkEngine):
        return None
    if engine.reads_columns:
        return "columns"
    with_torch = importlib.util.find_spec("torch") is not None
    return "attention" if engine.architecture == "parseq" and with_torch else None


class Explainer:
    """Tells where a model looked, image by image."""

    def __init__(self, model: ServedModel) -> None:
        self._model = model
        self._loaded: Any = None  # the PyTorch model, once it is asked for
        self._lock = Lock()

    @property
    def kind(self) -> Kind | None:
        """Return what it tells."""
        return explains(self._model.engine)

    def __call__(self, sources: Sequence[bytes | UnreadableImage]) -> list[dict[str, Any]]:
        """Return for each image what `kind` it is and `characters`, each with its text, its
        confidence and where it was read: the middle of its column as a fraction of the width, or
        attention on a grid, (H', W'), in [0, 1]. `error` if the image cannot be read.
        """
        return [self._explained(source) for source in sources]

    def _explained(self, source: bytes | UnreadableImage) -> dict[str, Any]:
        try:
            if isinstance(source, UnreadableImage):
                raise source
            image = open_image(Encoded(source))
            found = self._columns(image) if self.kind == "columns" else self._attention(image)
            return {"kind": self.kind, "characters": found, "error": None}
        except UnreadableImage as error:
            return {"kind": self.kind, "characters": [], "error": str(error)}

    def _columns(self, image: Image.Image) -> list[dict[str, Any]]:
        engine = self._model.engine
        assert isinstance(engine, NetworkEngine)  # as `explains` says
        found, columns = engine.locate(image)
        return [
            {
                "text": text,
                "confidence": round(sure, _DECIMALS),
                "at": round(min(1.0, (column + 0.5) / columns), _DECIMALS),
            }
            for text, column, sure in found
        ]

    def _attention(self, image: Image.Image) -> list[dict[str, Any]]:
        from strhub.explain.attention import attend

        with self._lock:
            if self._loaded is None:
                self._loaded = strhub.load(self._model.source)
            (found,) = attend(self._loaded, [image])
        largest = max(float(np.max(found.maps, initial=0)), 1e-9)
        maps = np.round(found.maps / largest, _DECIMALS)  # (L, H', W')
        return [
            {"text": text, "grid": values.tolist()}
            for text, values in zip([*found.text, ""], maps, strict=False)
        ]
