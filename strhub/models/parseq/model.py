"""The PARSeq network: a picture to the probabilities of its characters.

A vision transformer encodes the picture; a shallow two-stream decoder reads characters from it in any order, so that
one set of weights reads left to right, all at once, or refines a first reading (sections 3.1 to 3.4 of the paper).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from strhub.models.layers.attention import KeyValue
from strhub.models.parseq.decoder import Decoder, Masks, cloze_masks, one_pass_masks, permutation_masks
from strhub.models.parseq.encoders import OWN, build_encoder, complete
from strhub.models.parseq.stepping import SteppingDecoder

Memory = Sequence[KeyValue]  # of each decoder layer


class TokenEmbedding(nn.Module):
    """Token ids to vectors, scaled by the square root of their size (Vaswani et al. 2017, section 3.4)."""

    def __init__(self, *, num_tokens: int, embed_dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_tokens, embed_dim)
        self.scale = math.sqrt(embed_dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Ids of any shape to (..., D)."""
        return self.scale * self.embedding(tokens)


class PARSeq(nn.Module):
    """Permuted autoregressive sequence model.

    charset_size: characters it knows; token ids are 0 = [E], 1 to charset_size = characters, then [B], then [P].
    max_label_length: the longest text, in characters; it reads one step more, for [E].
    img_size, patch_size: height and width in pixels. enc_stem: channels of convolutions before the encoder's patches
        are cut, none in the published models; see `strhub.models.layers.vision_transformer.Stem`.
    encoder: `vit`, PARSeq's own, or CLIP's image tower: `clip_vit_b32` and the like, whose name decides patch_size,
        embed_dim, enc_* and dec_num_heads, or `clip`, which leaves them to you; see `strhub.models.parseq.encoders`.
    embed_dim: of the decoder and of what the encoder gives it; enc_embed_dim: of CLIP's tokens before their projection
        to it; enc_activation: of CLIP's tower, quick_gelu as OpenAI's or gelu.
    decode_ar: read character by character (AR) rather than all at once (NAR); can be changed at any time.
    refine_iters: passes over the first reading, each seeing all of the previous one; can be changed at any time.
    dropout: of the decoder, in training.
    """

    tokenizer = "attention"
    decoding_options = ("decode_ar", "refine_iters")
    half_weights = True  # it reads with weights in 16 bits, too
    marker = "pos_queries"  # a parameter that only this architecture has
    complete = staticmethod(complete)  # hyper-parameters that follow from others

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
    ) -> None:
        super().__init__()
        self.max_label_length = max_label_length
        self.decode_ar = decode_ar
        self.refine_iters = refine_iters
        self.eos_id, self.bos_id, self.pad_id = 0, charset_size + 1, charset_size + 2
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
        self.decoder = Decoder(
            depth=dec_depth, embed_dim=embed_dim, num_heads=dec_num_heads, mlp_ratio=dec_mlp_ratio, dropout=dropout
        )
        self.text_embed = TokenEmbedding(num_tokens=charset_size + 3, embed_dim=embed_dim)
        self.pos_queries = nn.Parameter(torch.zeros(1, max_label_length + 1, embed_dim))
        self.head = nn.Linear(embed_dim, charset_size + 1)  # neither [B] nor [P] can be read
        self.dropout = nn.Dropout(dropout)
        self._initialise()

    def _initialise(self) -> None:
        nn.init.trunc_normal_(self.pos_queries, std=0.02)
        for part in (self.decoder, self.text_embed, self.head):
            for module in part.modules():
                if isinstance(module, nn.Linear | nn.Embedding):
                    nn.init.trunc_normal_(module.weight, std=0.02)
                if isinstance(module, nn.Linear):
                    nn.init.zeros_(module.bias)

    def forward(self, images: Tensor, max_length: int | None = None) -> Tensor:
        """Read pictures (B, 3, H, W), normalised, to logits (B, L, charset_size + 1).

        max_length: run exactly this many character steps and one for [E], at most the model's own number, as a loss
            needs it. By default autoregressive reading stops when every row has read [E], so L may be smaller.
        """
        steps = min(max_length or self.max_label_length, self.max_label_length) + 1
        memory = self.decoder.project_memory(self.encoder(images))
        if self.decode_ar:
            logits = self._read_step_by_step(memory, steps, stop_early=max_length is None)
        else:
            logits = self._read_in_one_pass(memory, steps)
        for _ in range(self.refine_iters):
            logits = self._refine(memory, logits)
        return logits

    @torch.no_grad()
    def first_reading(self, encoded: Tensor) -> Tensor:
        """What it reads step by step, without refinement, dropout or gradient, from the encoder's tokens (B, N, D)."""
        memory = self.decoder.project_memory(encoded)
        return self._read_step_by_step(memory, self.max_label_length + 1, stop_early=True)

    def begin_steps(self, images: Tensor, beams: int) -> Callable[[int, Tensor, Tensor], Tensor]:
        """Read step by step along several beams: a function of the step's number, the tokens read before it and the
        beams they came from, (B, beams) each, to logits (B * beams, charset_size + 1).
        """
        memory = self.decoder.project_memory(self.encoder(images))
        copies = [KeyValue(*(part.repeat_interleave(beams, 0) for part in pair)) for pair in memory]
        positions = self.pos_queries[0]
        decoder = SteppingDecoder(self.decoder, copies, positions)
        first = torch.arange(len(images), device=images.device).unsqueeze(1) * beams

        def step(number: int, tokens: Tensor, parents: Tensor) -> Tensor:
            if number == 0:
                content = self.text_embed(self._beginning(copies).squeeze(1))
            else:
                decoder.reorder((first + parents).flatten())
                content = positions[number - 1] + self.text_embed(tokens.flatten())
            return self.head(decoder.step(number, content))

        return step

    def permuted_logits(self, encoded: Tensor, tokens: Tensor, permutations: Tensor) -> Tensor:
        """Logits under each permutation, for training: (P, B, T, charset_size + 1).

        encoded: what the encoder makes of the pictures, (B, N, D); tokens: (B, T) from [B] on, without the last;
        permutations: (P, T + 1) of positions.
        """
        memory = self.decoder.project_memory(encoded)
        hidden = (tokens == self.pad_id) | (tokens == self.eos_id)
        count, length = permutations.shape[0], tokens.shape[1]
        query = self.pos_queries[:, None, :length].expand(tokens.shape[0], count, -1, -1)
        masks = permutation_masks(permutations, hidden)
        output = self.decoder(self.dropout(query), self.embed_content(tokens), memory, masks)  # (B, P, T, D)
        return self.head(output).transpose(0, 1)

    def embed_content(self, tokens: Tensor) -> Tensor:
        """Embed tokens (B, L), the first of which is [B]. [B] has no position; the character at i has query i - 1."""
        start = self.text_embed(tokens[:, :1])
        characters = self.pos_queries[:, : tokens.shape[1] - 1] + self.text_embed(tokens[:, 1:])
        return self.dropout(torch.cat([start, characters], dim=1))

    def _beginning(self, memory: Memory) -> Tensor:
        """A [B] token a row, (B, 1)."""
        key = memory[0].key
        return torch.full((key.shape[0], 1), self.bos_id, dtype=torch.long, device=key.device)

    def _read_step_by_step(self, memory: Memory, steps: int, *, stop_early: bool) -> Tensor:
        positions = self.pos_queries[0, :steps]
        decoder = SteppingDecoder(self.decoder, memory, positions)
        embeddings = self.text_embed(torch.arange(self.pad_id, device=positions.device))  # of every token but [P]
        content = embeddings[self._beginning(memory).squeeze(1)]  # (B, D)
        ended = torch.zeros(content.shape[0], dtype=torch.bool, device=content.device)
        logits = []
        for step in range(steps):
            logits.append(self.head(decoder.step(step, content)))  # (B, C)
            token = logits[-1].argmax(-1)  # (B)
            if stop_early:
                ended |= token == self.eos_id
                if ended.all():
                    break
            content = positions[step] + F.embedding(token, embeddings)
        return torch.stack(logits, dim=1)

    def _read_in_one_pass(self, memory: Memory, steps: int) -> Tensor:
        start = self._beginning(memory)
        masks = one_pass_masks(steps, hidden=torch.zeros_like(start, dtype=torch.bool))
        return self._decode(start, steps, memory, masks)

    def _refine(self, memory: Memory, logits: Tensor) -> Tensor:
        tokens = torch.cat([self._beginning(memory), logits[:, :-1].argmax(-1)], dim=1)
        ended = (tokens == self.eos_id).cumsum(-1) > 0
        return self._decode(tokens, tokens.shape[1], memory, cloze_masks(tokens.shape[1], hidden=ended))

    def _decode(self, tokens: Tensor, steps: int, memory: Memory, masks: Masks) -> Tensor:
        query = self.pos_queries[:, None, :steps].expand(tokens.shape[0], -1, -1, -1)  # (B, 1, L, D)
        return self.head(self.decoder(query, self.embed_content(tokens), memory, masks).squeeze(1))

    @staticmethod
    def sizes_of(weights: Mapping[str, Tensor]) -> dict[str, Any]:
        """The sizes that bare weights tell. Heads are as published (encoder D / 64, decoder D / 32, at least one
        each) and the picture is 32 high, or square if that does not fit, since no tensor shows them.
        """
        if "encoder.cls_token" in weights:
            raise ValueError("the sizes of a model with CLIP's encoder cannot be told from its weights alone")
        embed_dim, channels, *patch_size = weights["encoder.patch_embed.proj.weight"].shape
        if channels != 3:
            raise ValueError("the sizes of a model with a stem cannot be told from its weights alone")
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
