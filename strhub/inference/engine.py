"""The contract of an engine, which a reader reads with, and what all that compute a network have in
common.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from strhub.images.options import ImageOptions, image_options, image_to_array
from strhub.text.correction import Calibration, Correction
from strhub.text.decoding import Decoded, Decoding
from strhub.text.tokenizer import CTCTokenizer, Tokenizer

if TYPE_CHECKING:
    import torch

    from strhub.checkpoint.scene_text_model import SceneTextModel

_COLUMN = 8  # pixels of a column of probabilities, where the aspect is kept

ImageArray = npt.NDArray[np.float32]
Decode = Callable[[Sequence[ImageArray]], Sequence[Decoded]]


class Engine(ABC):
    """A model and how it decodes.

    img_size: height and width of its images in pixels, the width the greatest one if `keep_aspect`;
    normalize: name of a preset. precision: what it computes in; of an exported file, what that was
    exported in. correction: of the confidence of words that are looked at again. calibration: of
    all. reread_below: the confidence below which it was measured to read best if it looks again;
    None: not measured.
    """

    img_size: Sequence[int]
    normalize: str
    keep_aspect: bool
    precision: str = "float32"
    correction: Correction = Correction()
    calibration: Calibration = Calibration()
    reread_below: float | None = None

    @property
    def lanes(self) -> int:
        """Return how many threads may decode at once, each on its share of the processors; 1 if
        only one may.
        """
        return 1

    @property
    def device_name(self) -> str:
        """Return what it computes on, such as "cpu" or "cuda:0"."""
        return "cpu"

    @abstractmethod
    def decode(self, arrays: Sequence[ImageArray]) -> Sequence[Decoded]:
        """Decode normalized arrays (3, H, W), at least one; W may differ if the aspect ratio is
        kept.
        """

    @contextmanager
    def side_by_side(self) -> Iterator[Decode]:
        """Decode on a fraction of the processors, for as many threads at once as there are
        lanes.
        """
        yield self.decode


class NetworkEngine(Engine):
    """An engine that computes the logits of one network.

    architecture: its name. model, device: those of PyTorch, where it is PyTorch that computes.
    """

    architecture: str = ""

    model: SceneTextModel | None = None
    device: torch.device | None = None
    _word_prior: int | None = None  # instead of the network's own

    def adopt(self, options: Mapping[str, Any]) -> None:
        """Take over what a model says of its images and its confidences, in its hyper-parameters or
        in an exported file's description.
        """
        self.architecture = str(options.get("architecture", ""))
        images = image_options(options)
        self.img_size: Sequence[int] = images["img_size"]
        self.normalize, self.keep_aspect = images["normalize"], images["keep_aspect"]
        self.correction = Correction.of(options)
        self.calibration = Calibration.of(options)
        self.reread_below = options.get("reread_below")

    @property
    def decoding(self) -> Decoding:
        """Return how its logits are decoded."""
        own = self.own_decoding()
        return own if self._word_prior is None else replace(own, word_prior=self._word_prior)

    @abstractmethod
    def own_decoding(self) -> Decoding:
        """Return how its logits are read unless another weight of known words is asked for."""

    @abstractmethod
    def probabilities(self, arrays: Sequence[ImageArray]) -> list[ImageArray]:
        """Return the calibrated probabilities (L, C) of each normalized array (3, H, W), padding's
        columns included.
        """

    def locate(self, image: Image.Image) -> tuple[list[tuple[str, int, float]], int]:
        """Return what is read in an RGB image, character by character, each with the column that it
        was read in and its probability; and how many columns the image fills. For CTC networks.
        """
        height, width = self.img_size
        options = ImageOptions(
            img_size=(height, width), keep_aspect=self.keep_aspect, normalize=self.normalize
        )
        array = image_to_array(image, options)
        (probabilities,) = self.probabilities([array])
        used = len(probabilities)
        if self.keep_aspect:  # the columns after the image are padding
            used = max(1, min(used, round(array.shape[2] / _COLUMN)))
        return self.tokenizer.located(probabilities), used

    @property
    def tokenizer(self) -> Tokenizer:
        """Return what its ids mean."""
        return self.decoding.tokenizer

    @property
    def reads_columns(self) -> bool:
        """Return whether it reads an image column by column (CTC), so that each character has a
        position.
        """
        return isinstance(self.tokenizer, CTCTokenizer)

    @property
    def word_prior(self) -> int:
        """Return the weight of known words, 0 for none."""
        return self.decoding.word_prior

    def with_word_prior(self, weight: int) -> NetworkEngine:
        """Return the same engine with another weight of known words."""
        one = copy(self)
        one._word_prior = weight
        return one
