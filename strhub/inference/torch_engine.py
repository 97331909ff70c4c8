"""A model of PyTorch as the engine of a reader: device, precision, decoding."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from strhub.checkpoint.scene_text_model import SceneTextModel
from strhub.checkpoint.zoo import load
from strhub.images.padding import pad
from strhub.inference.beam_search import BeamSearch, Floats, Ids, beam_search
from strhub.inference.engine import Decode, ImageArray, NetworkEngine
from strhub.text.decoding import Decoded, Decoding, as_array
from strhub.utils.precision import choose_precision, precision_name

# Python runs one thread at a time: more of them would wait for each other to begin operators
_LANES = 4


class TorchEngine(NetworkEngine):
    """Arguments are those of `strhub.Recognizer`, what it searches by in `search`. `model`: one of
    its own, a copy.

    threads: of PyTorch in this process, from now on.
    """

    model: SceneTextModel
    device: torch.device

    def __init__(
        self,
        model: str | Path | SceneTextModel,
        *,
        device: str | torch.device | None = None,
        threads: int | None = None,
        precision: str = "float32",
        compile: bool | str = "auto",
        search: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        if threads is not None and threads < 1:
            raise ValueError(f"threads is {threads}: it must be at least 1")
        self.device = choose_device(device)
        dtype = choose_precision(precision, self.device)
        self.precision = precision_name(precision, self.device)
        model = _own_model(model, options)
        if threads is not None:
            torch.set_num_threads(threads)
        self.search = beam_search(model.tokenizer, search or {})
        self.model = model.eval().to(self.device)
        self.model.set_precision(dtype)
        if choose_compiling(compile):
            self.model.compile_network()
        self.adopt(model.hparams)
        alone = self.device.type == "cpu" and not choose_compiling(compile)
        self._lanes = min(torch.get_num_threads(), _LANES) if alone else 1
        self._process = os.getpid()

    @property
    def lanes(self) -> int:
        """See `Engine`; 1 in a forked child."""
        return 1 if self._is_forked else self._lanes

    @property
    def device_name(self) -> str:
        """See `Engine`."""
        return str(self.device)

    def own_decoding(self) -> Decoding:
        """Return how its model's logits are read now, or searched."""
        return replace(self.model.decoding, search=self.search)

    @property
    def _is_forked(self) -> bool:
        return os.getpid() != self._process

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._process = os.getpid()

    def decode(self, arrays: Sequence[ImageArray]) -> Sequence[Decoded]:
        """See `Engine`."""
        if self._is_forked and self.device.type == "cpu":
            torch.set_num_threads(
                1
            )  # PyTorch's threads stayed in the parent, and it would wait for them for ever
        images = pad([torch.from_numpy(array) for array in arrays])
        if self.device.type == "cuda":  # copied while the host goes on
            images = images.pin_memory().to(self.device, non_blocking=True)
        with torch.inference_mode():
            if self.search is not None:
                return self._search(self.search, images.to(self.device))
            return self.decoding(self.model(images.to(self.device)).float())

    def probabilities(self, arrays: Sequence[ImageArray]) -> list[ImageArray]:
        """See `NetworkEngine`."""
        images = pad([torch.from_numpy(array) for array in arrays]).to(self.device)
        with torch.inference_mode():
            return list(as_array(self.decoding.probabilities(self.model(images).float())))

    @contextmanager
    def side_by_side(self) -> Iterator[Decode]:
        """See `Engine`. PyTorch's number of threads is lower until the end."""
        threads, ended = torch.get_num_threads(), threading.Event()

        def decode(arrays: Sequence[ImageArray]) -> Sequence[Decoded]:
            # by a reading that was given up while this one's images were prepared
            if not ended.is_set():
                torch.set_num_threads(
                    max(1, threads // self.lanes)
                )  # partly a setting of the thread that calls it
            return self.decode(arrays)

        try:
            yield decode
        finally:
            ended.set()
            torch.set_num_threads(threads)

    def _search(self, search: BeamSearch, images: Tensor) -> Sequence[Decoded]:
        """Step by step if the network reads so, and then without its refinement, which knows of one
        text an image.
        """
        begin, decoding = self.model.begin_steps(images, search.search.width), self.decoding
        if begin is None:
            return decoding(self.model(images).float())

        def step(number: int, tokens: Ids, parents: Ids) -> Floats:
            chosen = [torch.tensor(ids, device=self.device) for ids in (tokens, parents)]
            logs = decoding.log_probabilities(begin(number, *chosen))  # (B * K, C)
            return logs.reshape(*tokens.shape, -1)

        return search.decode_steps(
            step, len(images), int(self.model.hparams["max_label_length"]) + 1
        )


def _own_model(model: object, options: Mapping[str, Any]) -> SceneTextModel:
    """Return the model that is named, or a copy of one: whose it is goes on with it as it was, in
    training maybe.
    """
    if isinstance(model, str | Path):
        return load(model, **options)
    if not isinstance(model, SceneTextModel):
        kind = type(model).__name__
        raise ValueError(
            f"a model is an id, a path or what strhub.load gives, not a {kind}; strhub.save writes "
            "one"
        )
    model = copy.deepcopy(model)
    model.set_decoding(**options)
    return model


def choose_compiling(choice: bool | str) -> bool:
    """Return whether to compile: on request alone, since compiling takes longer than most jobs.
    `ValueError` for a misfit.
    """
    if choice not in (True, False, "auto"):
        raise ValueError(f"compile is {choice!r}: it must be true, false or 'auto'")
    return choice is True


def choose_device(device: str | torch.device | None = None) -> torch.device:
    """Return the device asked for, or the fastest there is; `ValueError` if it is not there."""
    if device is None or str(device) == "auto":
        mps = torch.backends.mps.is_available()
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"the device {device!r} cannot be used here: {str(error).splitlines()[0]}"
        ) from error
    return chosen
