"""The words of a vocabulary that lie nearest to an image, in the space that the contrastive
objective made.

In: a checkpoint with CLIP's encoder, or one trained with the contrastive objective; a vocabulary.
Out: words with cosines. The text tower comes from the CLIP that the model was trained with, or
    another file of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from strhub.checkpoint.formats import CheckpointError, read_checkpoint
from strhub.checkpoint.zoo import load, locate
from strhub.clip.contrastive import Contrastive, ContrastiveOptions
from strhub.clip.text_side import load_text_side, read_words, text_size
from strhub.clip.words import WordSpace
from strhub.images.open import UnreadableImage, open_image
from strhub.images.options import image_options, image_to_array
from strhub.models.layers.light_conv import TOKEN_DIM
from strhub.models.light_ctc.model import LightCTC
from strhub.models.parseq.encoders import is_clip
from strhub.models.parseq.model import PARSeq


class Found(NamedTuple):
    """source: as given; words: the nearest words with their cosines, the nearest first; error: why
    there are none.
    """

    source: str
    words: list[tuple[str, float]]
    error: str | None = None


class Retriever:
    """Finds words by their images.

    source: see `strhub.checkpoint.zoo.load`. vocabulary: the words to find. clip: file or name of
        the CLIP whose text tower it is, merges: table of its tokens; None for those that the model
        was trained with.

    Raises `ValueError` for a model that has no space in common with texts, or whose text side is
    not to be had.
    """

    def __init__(
        self,
        source: str | Path,
        vocabulary: Iterable[str],
        *,
        clip: str | None = None,
        merges: str | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.model = load(source).eval().to(self.device)
        hparams = dict(self.model.hparams)
        trained = _objective_weights(locate(source))
        class_token = is_clip(hparams.get("encoder", "vit"))
        if not class_token and not trained:
            raise ValueError(
                f"{source} cannot compare images with words: it has no encoder of CLIP's and was "
                "not trained with "
                "the contrastive objective (that part is in a run's checkpoints, not in "
                "safetensors)"
            )
        values: dict[str, Any] = {**(hparams.get("contrastive") or {}), "nearest": 0}
        values |= {
            name: value
            for name, value in (("text_weights", clip), ("merges", merges))
            if value is not None
        }
        if not trained and values.get("adapter") is not None:
            raise ValueError(
                f"{source} lacks the adapter that it was trained with: give the run's checkpoint"
            )
        options = ContrastiveOptions.from_options(values)
        side = load_text_side(options, hparams, None).to(self.device)
        self.objective = Contrastive(
            options,
            image_dim=hparams.get("embed_dim") or TOKEN_DIM,
            text_dim=text_size(options, hparams, hparams.get("pretrained_encoder")),
            class_token=class_token,
        ).eval()
        if trained:
            self.objective.load_state_dict(trained)
        self.objective.to(self.device)
        self.space = WordSpace(vocabulary, side.features)
        if self.objective.adapter is not None:
            self.space.refresh(self.objective.adapter)
        self._images = image_options(hparams)

    @classmethod
    def of_file(cls, source: str | Path, vocabulary: str | Path, **options: Any) -> Retriever:
        """Return one of the words in a file, one or more a line; `ValueError` if there are none."""
        return cls(source, read_words(vocabulary), **options)

    def __call__(
        self, sources: Sequence[str | Path], *, count: int = 5, batch_size: int = 32
    ) -> Iterator[Found]:
        """Yield the `count` nearest words of each image, in order; one that cannot be read has an
        error instead.
        """
        for start in range(0, len(sources), batch_size):
            inputs, found = [], []
            for source in sources[start : start + batch_size]:
                try:
                    inputs.append(
                        torch.from_numpy(image_to_array(open_image(source), self._images))
                    )
                    found.append(Found(str(source), []))
                except UnreadableImage as error:
                    found.append(Found(str(source), [], str(error)))
            rows = iter(self._nearest(inputs, count) if inputs else ())
            for item in found:
                yield item if item.error else item._replace(words=next(rows))

    def _nearest(self, images: Sequence[Tensor], count: int) -> list[list[tuple[str, float]]]:
        """Return the nearest words of images (3, H, W); those that keep their aspect are looked at
        one by one, since padding would count.
        """
        network = self.model.model
        alone = self._images["keep_aspect"]
        batches = [image[None] for image in images] if alone else [torch.stack([*images])]
        with torch.inference_mode():
            encoded = []
            for batch in batches:
                if isinstance(network, LightCTC):
                    encoded.append(network.tokens(batch.to(self.device)))
                else:
                    assert isinstance(network, PARSeq)  # no other is trained with the objective
                    encoded.append(network.encoder(batch.to(self.device)))
            directions = torch.cat([self.objective.image_directions(one) for one in encoded])
            indexes, cosines = self.space.nearest(directions, count)
        return [
            [(self.space.words[index], cosine) for index, cosine in zip(*row, strict=True)]
            for row in zip(indexes.tolist(), cosines.tolist(), strict=True)
        ]


def _objective_weights(path: Path) -> dict[str, Tensor]:
    """Return what a run's checkpoint holds of the objective; nothing for a file of another kind."""
    if path.suffix == ".safetensors":
        return {}
    try:
        state = read_checkpoint(path).training
    except CheckpointError:
        return {}
    prefix = "contrastive."
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in state.items()
        if name.startswith(prefix)
    }
