"""The PARSeq network: an image to the probabilities of its characters.

A vision transformer encodes the image; a shallow two-stream decoder reads characters from it in any
order, so that one set of weights reads left to right, all at once, or refines a first reading
(sections 3.1 to 3.4 of the paper).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from strhub.models.layers.attention import KeyValue
from strhub.models.layers.backbones import BackboneEncoder, ColumnEncoder
from strhub.models.layers.widths import LEAST_WIDTH, WIDTH_STEP, group_by_width
from strhub.models.network import Network, Steps
from strhub.models.parseq.crossmodal import CrossModalBranch, TextTowerOptions
from strhub.models.parseq.encoders import OWN, build_encoder, complete
from strhub.models.parseq.reader import CharacterReader, Memory, Plan, ReaderOptions
from strhub.models.parseq.stepping import SteppingDecoder
from strhub.models.parseq.steps import steps_together

IMPOSSIBLE = -1e4  # a logit that no probability is left of, even in 16 bits


class PARSeq(CharacterReader, Network):
    """Permuted autoregressive sequence model.

    charset_size: characters it knows; token ids are 0 = [E], 1 to charset_size = characters, then
        [B], then [P].
    max_label_length: the longest text, in characters; it reads one step more, for [E].
    img_size, patch_size: height and width in pixels. enc_stem: channels of convolutions before the
        encoder's patches are cut, none in the published models; see
        `strhub.models.layers.vision_transformer.Stem`.
    encoder: `vit`, PARSeq's own, or CLIP's image tower: `clip_vit_b32` and the like, whose name
        decides patch_size, embed_dim, enc_* and dec_num_heads, or `clip`, which leaves them to you;
        `ppocrv6_small`, the network of strhub-small, whose images are 48 high and keep their
        aspect; or `timm/<name>`, a backbone of timm's. See `strhub.models.parseq.encoders`.
    embed_dim: of the decoder and of what the encoder gives it; enc_embed_dim: of CLIP's tokens
        before their projection to it; enc_activation: of CLIP's tower, quick_gelu as OpenAI's or
        gelu.
    cross_modal: a second branch reads again with CLIP's text tower, of text_embed_dim, text_depth
        and text_vocab_size;
        spelling: CLIP's token of each character; clip4str: it reads as CLIP4STR's released models
        do, from text_context tokens of text; see `strhub.models.parseq.crossmodal`.
    decode_ar: read character by character (AR) rather than all at once (NAR); can be changed at any
        time.
    refine_iters: passes over the first reading, each seeing all of the previous one; can be changed
        at any time. word_prior: what an English word is worth where a reading is doubtful, in nats,
        see `strhub.text.word_prior`; 0: no more than any other; likewise.
    dropout: of the decoder, in training.
    """

    tokenizer = "attention"
    decoding_options = ("decode_ar", "refine_iters", "word_prior")
    half_weights = True  # it reads with weights in 16 bits, too
    marker = "pos_queries"  # a parameter that only this architecture has
    not_in_weights = ("img_size", "enc_num_heads", "dec_num_heads")

    def __init__(
        self,
        *,
        charset_size: int,
        max_label_length: int,
        img_size: Sequence[int],
        patch_size: Sequence[int],
        embed_dim: int,
        enc_num_heads: int,
        enc_mlp_ratio: float,
        enc_depth: int,
        dec_num_heads: int,
        dec_mlp_ratio: float,
        dec_depth: int,
        decode_ar: bool,
        refine_iters: int,
        dropout: float,
        enc_stem: Sequence[int] = (),
        encoder: str = OWN,
        enc_embed_dim: int | None = None,
        enc_activation: str | None = None,
        cross_modal: bool = False,
        spelling: Sequence[int] = (),
        text_embed_dim: int | None = None,
        text_depth: int | None = None,
        text_vocab_size: int | None = None,
        clip4str: bool = False,
        text_context: int = 16,
        word_prior: int = 0,
    ) -> None:
        super().__init__()
        self.word_prior = word_prior
        self.decode_ar = decode_ar
        self.refine_iters = refine_iters
        self.encoder = build_encoder(
            encoder=encoder,
            img_size=img_size,
            patch_size=patch_size,
            output_dim=embed_dim,
            embed_dim=enc_embed_dim,
            depth=enc_depth,
            num_heads=enc_num_heads,
            mlp_ratio=enc_mlp_ratio,
            activation=enc_activation,
            stem=enc_stem,
        )
        reader = ReaderOptions(
            charset_size=charset_size,
            max_label_length=max_label_length,
            embed_dim=embed_dim,
            dec_num_heads=dec_num_heads,
            dec_mlp_ratio=dec_mlp_ratio,
            dec_depth=dec_depth,
            dropout=dropout,
        )
        self.build_reader(reader)
        self.cross: CrossModalBranch | None = None
        if cross_modal:
            text = TextTowerOptions(
                spelling=spelling,
                text_embed_dim=text_embed_dim,
                text_depth=text_depth,
                text_vocab_size=text_vocab_size,
                activation=enc_activation,
                clip4str=clip4str,
                text_context=text_context,
            )
            self.cross = CrossModalBranch(text, reader)

    def forward(self, images: Tensor, max_length: int | None = None) -> Tensor:
        """Read images (B, 3, H, W), normalized, to logits (B, L, charset_size + 1).

        max_length: run exactly this many character steps and one for [E], at most the model's own
            number, as a loss needs it. By default autoregressive reading stops when every row has
            read [E], so L may be smaller.
        """
        if isinstance(self.encoder, ColumnEncoder) and not torch.compiler.is_exporting():
            parts = [
                (rows, self._read(same_width, max_length))
                for rows, same_width in group_by_width(images)
            ]
            return parts[0][1] if len(parts) == 1 else self._together(parts, len(images))
        return self._read(images, max_length)

    def _read(self, images: Tensor, max_length: int | None) -> Tensor:
        """Read images of one size (B, 3, H, W) to logits (B, L, C)."""
        steps = min(max_length or self.max_label_length, self.max_label_length) + 1
        encoded = self.encoder(images)
        memory = self.decoder.project_memory(encoded)
        plan = Plan(
            steps=steps,
            stop_early=max_length is None,
            decode_ar=self.decode_ar,
            refine_iters=self.refine_iters,
        )
        if self.cross is None:
            return self.read_refined(memory, plan)
        first = self.read_first(memory, steps, decode_ar=plan.decode_ar, stop_early=plan.stop_early)
        return self.cross.read_after(self, encoded, memory, first, plan)

    def _together(self, parts: Sequence[tuple[list[int], Tensor]], count: int) -> Tensor:
        """Return logits (B', L', C) of some rows each as those of all, (count, L, C): beyond its
        own, a row has ended.
        """
        first = parts[0][1]
        together = first.new_full(
            (count, max(logits.shape[1] for _, logits in parts), first.shape[2]), IMPOSSIBLE
        )
        together[..., self.eos_id] = 0
        for rows, logits in parts:
            together[rows, : logits.shape[1]] = logits
        return together

    def begin_steps(self, images: Tensor, beams: int) -> Steps | None:
        """Read step by step along several beams: a function of the step's number, the tokens read
        before it and the beams they came from, (B, beams) each, to logits (B * beams, charset_size
        + 1). None for one pass over all.
        """
        if not self.decode_ar:
            return None
        if isinstance(self.encoder, ColumnEncoder):
            parts = [
                (rows, self._begin(same_width, beams))
                for rows, same_width in group_by_width(images)
            ]
            return parts[0][1] if len(parts) == 1 else steps_together(parts)
        return self._begin(images, beams)

    def _begin(self, images: Tensor, beams: int) -> Steps:
        """Begin to read images of one size (B, 3, H, W), `beams` ways each."""
        encoded = self.encoder(images)
        reader, memory = self._last_branch(encoded)
        copies = [KeyValue(*(part.repeat_interleave(beams, 0) for part in pair)) for pair in memory]
        positions = reader.pos_queries[0]
        decoder = SteppingDecoder(reader.decoder, copies, positions)
        first = torch.arange(len(images), device=images.device).unsqueeze(1) * beams

        def step(number: int, tokens: Tensor, parents: Tensor) -> Tensor:
            if number == 0:
                content = reader.text_embed(self._start_tokens(copies).squeeze(1))
            else:
                decoder.reorder((first + parents).flatten())
                content = positions[number - 1] + reader.text_embed(tokens.flatten())
            return reader.head(decoder.step(number, content))

        return step

    def _last_branch(self, encoded: Tensor) -> tuple[CharacterReader, Memory]:
        """Return the branch whose reading counts, and what it attends to; it is given the best
        reading of the one before it.
        """
        memory = self.decoder.project_memory(encoded)
        if self.cross is None:
            return self, memory
        steps = self.max_label_length + 1
        first = self.read_first(memory, steps, decode_ar=True, stop_early=True)
        return self.cross, self.cross.memory(encoded, first)

    def encode(self, images: Tensor) -> Tensor:
        """Return the encoder's tokens (B, N, D) of images, or of what the trunk made of them."""
        if images.ndim == 4:
            return self.encoder(images)
        return self.encoder.place(images) if isinstance(self.encoder, BackboneEncoder) else images

    def trunk(self, images: Tensor) -> Tensor | None:
        """Return what the encoder's parts make of images (B, N, D')."""
        if isinstance(self.encoder, BackboneEncoder):
            return self.encoder.trunk(images)
        return self.encoder(images)

    def compiled_parts(self) -> list[nn.Module]:
        """Return the encoder."""
        return [self.encoder]

    def encoder_parts(self) -> list[nn.Module]:
        """Return the encoder; of one that was made for other ends, what does not fit it to the
        decoder.
        """
        return [
            self.encoder.backbone if isinstance(self.encoder, BackboneEncoder) else self.encoder
        ]

    @property
    def padding(self) -> tuple[int, int] | None:
        """Return the minimum width that images are padded to, and a number of which the width is a
        multiple; None for images of one size.
        """
        return (LEAST_WIDTH, WIDTH_STEP) if isinstance(self.encoder, ColumnEncoder) else None

    @classmethod
    def complete(cls, hparams: Mapping[str, Any]) -> dict[str, Any]:
        """Return the hyper-parameters with the sizes that the encoder's name stands for."""
        return complete(hparams)

    @classmethod
    def sizes_of(cls, weights: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return the sizes that bare weights tell. Heads are as published (encoder D / 64, decoder
        D / 32, at least one each) and the image is 32 high, or square if that does not fit, since
        no tensor shows them.
        """
        if any(name.startswith("encoder.backbone.") for name in weights):
            raise ValueError(
                "the sizes of a model with another encoder than PARSeq's cannot be told from "
                "its weights"
            )
        if "encoder.cls_token" in weights:
            raise ValueError(
                "the sizes of a model with CLIP's encoder cannot be told from its weights alone"
            )
        embed_dim, channels, *patch_size = weights["encoder.patch_embed.proj.weight"].shape
        if channels != 3:
            raise ValueError(
                "the sizes of a model with a stem cannot be told from its weights alone"
            )
        patches = weights["encoder.pos_embed"].shape[1]

        def depth_of(prefix: str) -> int:
            return 1 + max(int(name.split(".")[2]) for name in weights if name.startswith(prefix))

        rows = 32 // patch_size[0]
        square = patch_size[0] == patch_size[1] and math.isqrt(patches) ** 2 == patches
        if square or rows == 0 or patches % rows:
            rows = math.isqrt(patches)
        return {
            "charset_size": weights["head.weight"].shape[0] - 1,
            "max_label_length": weights["pos_queries"].shape[1] - 1,
            "img_size": [rows * patch_size[0], patches // rows * patch_size[1]],
            "patch_size": list(patch_size),
            "embed_dim": embed_dim,
            "enc_num_heads": max(1, embed_dim // 64),
            "enc_mlp_ratio": weights["encoder.blocks.0.mlp.fc1.weight"].shape[0] / embed_dim,
            "enc_depth": depth_of("encoder.blocks."),
            "enc_stem": [],
            "dec_num_heads": max(1, embed_dim // 32),
            "dec_mlp_ratio": weights["decoder.layers.0.linear1.weight"].shape[0] / embed_dim,
            "dec_depth": depth_of("decoder.layers."),
        }
