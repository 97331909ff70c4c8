"""What a network must offer, and what it may: the contract between `strhub.models` and everything
above it.

A network is tensors in, tensors out: it knows nothing of files, text or training. Its folder in
`strhub/models` exports it as `Network`; its options are the keyword arguments of its constructor.
docs/extending.md adds one in 40 lines.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from strhub.utils.options import warn_renamed

Steps = Callable[[int, Tensor, Tensor], Tensor]
"""A step of reading: its index, the tokens read before it and the beams they came from, (B, beams)
each, to logits (B * beams, C)."""


class Network(nn.Module, ABC):
    """An image to the logits of its characters.

    A sub-class takes keyword arguments only. It is always given `charset_size` (how many characters
    it knows) where it asks for it, `max_label_length` (characters) and `img_size` ([height, width]
    in pixels); whatever else it asks for comes from its YAML file.
    """

    tokenizer: ClassVar[Literal["attention", "ctc"]]
    """What its token ids mean. attention: 0 = [E], then the characters, [B], [P]; ctc: 0 = blank,
    then the characters. It also decides which loss trains it, unless `strhub/training/systems` has
    a module of its name."""

    decoding_options: ClassVar[Sequence[str]] = ()
    """Attributes that may be changed after it is built and change how it reads, such as
    `refine_iters`.
    """

    half_weights: ClassVar[bool] = False
    """Whether it reads with its weights in 16 bits, too; otherwise it is run under autocast."""

    marker: ClassVar[str | None] = None
    """A parameter's name that no other architecture has: bare weights are recognized by it. None:
    they are not.
    """

    not_in_weights: ClassVar[Sequence[str]] = ()
    """Hyper-parameters that `sizes_of` assumes, since no tensor shows them: for bare weights, each
    is a warning.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        """Take `not_in_weights` by its former name, `untold`, too."""
        super().__init_subclass__(**options)
        if "untold" in vars(cls):
            warn_renamed("untold", "not_in_weights")
            cls.not_in_weights = vars(cls)["untold"]

    word_prior: int = 0
    """What an English word is worth where a reading is doubtful, in nats; 0: no more than any
    other. For networks that have it among their `decoding_options`."""

    @abstractmethod
    def forward(self, images: Tensor, max_length: int | None = None) -> Tensor:
        """Read images (B, 3, H, W), normalized, to logits (B, L, C).

        max_length: run exactly this many character steps and one for [E], at most the network's own
        number, as a loss needs it. A network that reads columns (CTC) ignores it.
        """

    @classmethod
    def complete(cls, hparams: Mapping[str, Any]) -> dict[str, Any]:
        """Return the hyper-parameters with those that follow from others; `ValueError` for what
        contradicts itself.
        """
        return dict(hparams)

    @classmethod
    def sizes_of(cls, weights: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return the hyper-parameters that bare weights tell, `charset_size` among them;
        `ValueError` if they don't.
        """
        raise ValueError(f"the sizes of a {cls.__name__} cannot be told from its weights alone")

    @property
    def padding(self) -> tuple[int, int] | None:
        """Return the minimum width that images are padded to, and a number of which the width is a
        multiple; None for images of one size.
        """
        return None

    @property
    def decoding(self) -> dict[str, Any]:
        """Return how it decodes now: the value of each of its `decoding_options`."""
        return {name: getattr(self, name) for name in self.decoding_options}

    def set_decoding(self, options: Mapping[str, Any]) -> None:
        """Change how it decodes; options: some of its `decoding_options`."""
        for name, value in options.items():
            setattr(self, name, value)

    def begin_steps(self, images: Tensor, beams: int) -> Steps | None:
        """Begin to read images (B, 3, H, W) step by step, `beams` ways each; None if it does not
        read so.
        """
        return None

    def columns_of(self, images: Tensor) -> Tensor | None:
        """Return how many of the logits' columns are an image's own, less its padding, (B); None if
        all are.
        """
        return None

    def trunk(self, images: Tensor) -> Tensor | None:
        """Return the features (B, N, D) that its encoder's parts (`encoder_parts`) make of images
        (B, 3, H, W); None if the network cannot go on from them.

        A network that has a trunk takes its features wherever training gives it images: a frozen
        encoder is then run once an image (`strhub.training.cached_features`).
        """
        return None

    def compiled_parts(self) -> list[nn.Module]:
        """Return the modules whose `forward` is worth compiling: what runs once a batch."""
        return [self]

    def encoder_parts(self) -> list[nn.Module] | None:
        """Return the modules, from the image on, that make up its encoder: what can be frozen or
        learn more slowly.

        None: all that does not read characters; see `strhub.training.fine_tuning.encoder_layers`.
        """
        return None
