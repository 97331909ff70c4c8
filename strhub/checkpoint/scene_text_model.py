"""A network together with what its numbers mean: tokenizer, charset, image size and normalization.

This is what the zoo and torch.hub give: images to logits by `model(images)`, logits to text by
`model.tokenizer`. Torch only; no training framework.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

import strhub.models
from strhub.models.network import Network, Steps
from strhub.text import CharsetAdapter, Tokenizer, scored_charset
from strhub.text.decoding import Decoding
from strhub.text.tokenizer import TOKENIZERS, Probabilities
from strhub.utils.compiling import compile_module
from strhub.utils.options import (
    check_options,
    check_values,
    keyword_names,
    unknown_name_message,
    unknown_option_message,
)

# Options that every model has whatever its architecture. `name` is the experiment's.
SCENE_TEXT_OPTIONS = ("name", "architecture", "charset_train", "charset_test", "normalize")


class HyperParameters(dict[str, Any]):
    """A dictionary whose items can be read as attributes: `hparams.img_size`."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(
                unknown_option_message(name, self, "the hyper-parameters")
            ) from None


def architectures() -> list[str]:
    """Return the names of the architectures: the folders in `strhub/models` that define a
    network.
    """
    packages = pkgutil.iter_modules(strhub.models.__path__)
    return sorted(
        package.name for package in packages if package.ispkg and package.name != "layers"
    )


def network_class(architecture: str) -> type[Network]:
    """Return the network class of an architecture; `ValueError` names the nearest one for an
    unknown name.
    """
    if architecture not in architectures():
        raise ValueError(unknown_name_message(architecture, architectures(), "architecture"))
    network: type[Network] = importlib.import_module(f"strhub.models.{architecture}").Network
    return network


def build_network(hparams: Mapping[str, Any]) -> Network:
    """Return a network with fresh weights, from hyper-parameters that may hold training options as
    well.
    """
    network = network_class(hparams["architecture"])
    values = {**complete_options(hparams), "charset_size": len(hparams["charset_train"])}
    missing = [name for name in keyword_names(network, required=True) if name not in values]
    if missing:
        raise ValueError(f"the architecture {hparams['architecture']!r} needs {', '.join(missing)}")
    return network(**{name: values[name] for name in keyword_names(network) if name in values})


def complete_options(hparams: Mapping[str, Any]) -> dict[str, Any]:
    """Return hyper-parameters completed by those that follow from others, such as the sizes that an
    encoder's name stands for.
    """
    completed = network_class(hparams["architecture"]).complete(hparams)
    completed["normalize"] = completed.get("normalize") or "default"
    completed["charset_test"] = scored_charset(
        hparams["charset_train"], hparams.get("charset_test")
    )
    return completed


def build_tokenizer(hparams: Mapping[str, Any]) -> Tokenizer:
    """Return the tokenizer of the architecture's kind for the training charset."""
    return TOKENIZERS[network_class(hparams["architecture"]).tokenizer](hparams["charset_train"])


class SceneTextModel(nn.Module):
    """A recognizer ready for use.

    hparams: everything it was built and trained with; `model`: the network; `tokenizer`: ids and
    text; `charset_adapter`: text to the charset it is scored with.
    """

    def __init__(self, hparams: Mapping[str, Any]) -> None:
        super().__init__()
        self.hparams = HyperParameters(complete_options(hparams))
        self.model = build_network(self.hparams)
        self.tokenizer = build_tokenizer(self.hparams)
        self.charset_adapter = CharsetAdapter(self.hparams["charset_test"])
        self._autocast: torch.dtype | None = None

    def forward(self, images: Tensor, max_length: int | None = None) -> Tensor:
        """Read images (B, 3, H, W), normalized, to logits (B, L, C); see the network's
        `forward`.
        """
        if self._autocast is not None:
            with torch.autocast(images.device.type, self._autocast):
                return self.model(images, max_length)
        return self.model(images.to(next(self.model.parameters()).dtype), max_length)

    def begin_steps(self, images: Tensor, beams: int) -> Steps | None:
        """Begin to read images (B, 3, H, W) step by step, `beams` ways each; none if the network
        does not read so.

        What it gives takes the number of a step, the tokens read before it and the beams they came
        from, both (B, beams), and returns logits (B * beams, C).
        """
        begun = self.model.begin_steps(images.to(next(self.model.parameters()).dtype), beams)
        if begun is None or self._autocast is None:
            return begun

        def step(number: int, tokens: Tensor, parents: Tensor) -> Tensor:
            with torch.autocast(images.device.type, self._autocast):
                return begun(number, tokens, parents)

        return step

    def read(self, images: Tensor) -> list[tuple[str, float, Probabilities]]:
        """Read images (B, 3, H, W), normalized: text, its confidence, and that of each character,
        an image.

        Confidences are in [0, 1] and calibrated by the hyper-parameter `temperature`, if there is
        one. Where nothing was read, the confidence is 0, however sure the model is that there is
        nothing.

        Raises:
            CheckpointError: if the model gives logits that are no numbers.
        """
        return [decoded[:3] for decoded in self.decoding(self(images).float())]

    @property
    def decoding(self) -> Decoding:
        """Return how the logits are decoded now."""
        return Decoding(
            self.tokenizer,
            temperature=float(self.hparams.get("temperature", 1.0)),
            word_prior=self.model.word_prior,
        )

    @property
    def device(self) -> torch.device:
        """Return the device that the weights are on."""
        return next(self.model.parameters()).device

    def freeze(self) -> SceneTextModel:
        """Stop it from learning and bring it to evaluation mode, as Lightning's modules do."""
        return self.requires_grad_(False).eval()

    def unfreeze(self) -> SceneTextModel:
        """Undo `freeze`."""
        return self.requires_grad_(True).train()

    def test_step(self, batch: tuple[Tensor, Sequence[str]], batch_idx: int = -1) -> dict[str, Any]:
        """Read a batch of (images, labels) and score it, by the reference's name; see
        `strhub.evaluation`.
        """
        step = importlib.import_module("strhub.evaluation.batch_result").test_step
        result: dict[str, Any] = step(self, batch)
        return result

    def set_precision(self, dtype: torch.dtype) -> None:
        """Compute in these numbers from now on. Weights are rounded to them where the network
        allows it (attribute `half_weights`); in the others, what has to stay exact does, and the
        rest is rounded as it is used.
        """
        if self.model.half_weights:
            self.model.to(dtype)
        else:
            self._autocast = None if dtype == torch.float32 else dtype

    def compile_network(self) -> None:
        """Compile what runs once a batch: the encoder, or the whole network if it has no decoder of
        its own.
        """
        for part in self.model.compiled_parts():
            compile_module(part, dynamic=True)

    def set_decoding(self, **options: Any) -> None:
        """Change how it reads, such as decode_ar or refine_iters; `ValueError` for what the network
        does not have, or cannot be.
        """
        where, known = f"the decoding of {self.hparams.architecture!r}", self.model.decoding_options
        check_options(options, known, where)
        check_values(options, self.model.decoding, where, counts=known)
        self.model.set_decoding(options)
        self.hparams.update(options)
