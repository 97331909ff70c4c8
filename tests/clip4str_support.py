"""A small CLIP4STR in the layout of the released checkpoints, and what such a model reads, said
again with torch's own modules, every step from the beginning.
"""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import torch
from torch import Tensor, nn

from strhub.clip.tokenizer import ClipTokenizer
from strhub.text import CHARSET_36, CHARSET_94, AttentionTokenizer, CharsetAdapter

MERGES = [("a", "b"), ("ab", "c</w>"), ("e", "d</w>"), ("x", "y"), ("z", "z"), ("i", "n"),
          ("in", "g</w>"), ("b", "c"), ("q", "u"), ("s", "t</w>")]  # fmt: skip
WIDTH, SHARED, PATCH, SIDE, HEADS, LENGTH, CONTEXT = 64, 32, 8, 32, 8, 6, 16
VOCABULARY = 512 + len(MERGES) + 2


def released_state(seed: int = 0) -> dict[str, Tensor]:
    """Random weights by the released names."""
    generator = torch.Generator().manual_seed(seed)

    def numbers(*shape: int, scale: float = 0.15) -> Tensor:
        return torch.randn(*shape, generator=generator) * scale

    def norm(prefix: str, size: int) -> dict[str, Tensor]:
        return {f"{prefix}.weight": 1 + numbers(size), f"{prefix}.bias": numbers(size)}

    def linear(prefix: str, source: int, target: int) -> dict[str, Tensor]:
        return {f"{prefix}.weight": numbers(target, source), f"{prefix}.bias": numbers(target)}

    def attention(prefix: str, size: int) -> dict[str, Tensor]:
        return {
            f"{prefix}.in_proj_weight": numbers(3 * size, size),
            f"{prefix}.in_proj_bias": numbers(3 * size),
            **linear(f"{prefix}.out_proj", size, size),
        }

    def block(prefix: str) -> dict[str, Tensor]:
        return {
            **attention(f"{prefix}.attn", WIDTH),
            **norm(f"{prefix}.ln_1", WIDTH),
            **linear(f"{prefix}.mlp.c_fc", WIDTH, 4 * WIDTH),
            **linear(f"{prefix}.mlp.c_proj", 4 * WIDTH, WIDTH),
            **norm(f"{prefix}.ln_2", WIDTH),
        }

    state = {
        "clip_model.positional_embedding": numbers(77, WIDTH),
        "clip_model.text_projection": numbers(WIDTH, SHARED),
        "clip_model.logit_scale": torch.tensor(4.6),
        "clip_model.visual.class_embedding": numbers(WIDTH),
        "clip_model.visual.positional_embedding": numbers((SIDE // PATCH) ** 2 + 1, WIDTH),
        "clip_model.visual.proj": numbers(WIDTH, SHARED),
        "clip_model.visual.conv1.weight": numbers(WIDTH, 3, PATCH, PATCH),
        "clip_model.token_embedding.weight": numbers(VOCABULARY, WIDTH),
        **norm("clip_model.visual.ln_pre", WIDTH),
        **norm("clip_model.visual.ln_post", WIDTH),
        **norm("clip_model.ln_final", WIDTH),
    }
    for number in range(2):
        state |= block(f"clip_model.visual.transformer.resblocks.{number}")
        state |= block(f"clip_model.transformer.resblocks.{number}")
    for name in ("visual_decoder", "cross_decoder"):
        layer = f"{name}.layers.0"
        state |= attention(f"{layer}.self_attn", SHARED) | attention(f"{layer}.cross_attn", SHARED)
        state |= linear(f"{layer}.linear1", SHARED, 4 * SHARED)
        state |= linear(f"{layer}.linear2", 4 * SHARED, SHARED)
        for part in ("norm1", "norm2", "norm_q", "norm_c"):
            state |= norm(f"{layer}.{part}", SHARED)
        state |= norm(f"{name}.norm", SHARED)
        state[f"{name}.text_embed.embedding.weight"] = numbers(97, SHARED, scale=0.5)
        state[f"{name}.pos_queries"] = numbers(1, LENGTH + 1, SHARED, scale=1.0)
        state |= linear(f"{name}.head", SHARED, 95)
        state[f"{name}.head.weight"] *= 8  # so that different characters are read
        state[f"{name}.head.bias"][0] += 8.0  # and words end
        state[f"{name}.head.bias"][11:37] += 4.0  # and most of them are letters
    return state


def write_merges(folder: Path) -> Path:
    """The table, where a checkpoint's reader looks for it."""
    path = folder / "bpe_simple_vocab_16e6.txt.gz"
    lines = ["a first line", *(" ".join(pair) for pair in MERGES)]
    path.write_bytes(gzip.compress("\n".join(lines).encode("utf-8")))
    return path


class Restated:
    """CLIP4STR's reading: two branches, each of which refines its own."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        self.state = state
        self.tokenizer = AttentionTokenizer(CHARSET_94)
        self.clip_tokens = ClipTokenizer(MERGES)
        self.captions: list[str] = []

    @torch.no_grad()
    def read(self, images: Tensor, refine_iters: int, max_length: int | None = None) -> Tensor:
        """Images (B, 3, H, W) to the second branch's logits."""
        image = self.image_tokens(images)
        steps = (LENGTH if max_length is None else max_length) + 1
        first = self.step_by_step("visual_decoder", image, steps, stop=max_length is None)
        both = self.with_text(image, first)
        second = self.step_by_step("cross_decoder", both, first.shape[1], stop=False)
        for _ in range(refine_iters):
            first = self.refined("visual_decoder", image, first, steps)
            second = self.refined("cross_decoder", self.with_text(image, first), second, steps)
        return second

    def tower(self, prefix: str, tokens: Tensor, mask: Tensor | None) -> Tensor:
        for number in range(2):
            own = f"{prefix}transformer.resblocks.{number}."
            layer = nn.TransformerEncoderLayer(
                WIDTH,
                1,
                4 * WIDTH,
                dropout=0.0,
                norm_first=True,
                batch_first=True,
                activation=lambda x: x * torch.sigmoid(1.702 * x),
            )
            names = {
                "self_attn.": "attn.",
                "linear1.": "mlp.c_fc.",
                "linear2.": "mlp.c_proj.",
                "norm1.": "ln_1.",
                "norm2.": "ln_2.",
            }
            taken = {}
            for name in layer.state_dict():
                part = next(part for part in names if name.startswith(part))
                taken[name] = self.state[own + name.replace(part, names[part])]
            layer.load_state_dict(taken)
            tokens = layer(tokens, src_mask=mask)
        return tokens

    def norm(self, prefix: str, tokens: Tensor) -> Tensor:
        weight, bias = self.state[f"{prefix}.weight"], self.state[f"{prefix}.bias"]
        return nn.functional.layer_norm(tokens, weight.shape, weight, bias)

    def image_tokens(self, images: Tensor) -> Tensor:
        own, prefix = self.state, "clip_model.visual."
        patches = nn.functional.conv2d(images, own[f"{prefix}conv1.weight"], stride=PATCH)
        patches = patches.flatten(2).mT
        start = own[f"{prefix}class_embedding"].expand(len(images), 1, -1)
        tokens = torch.cat([start, patches], 1) + own[f"{prefix}positional_embedding"]
        tokens = self.tower(prefix, self.norm(f"{prefix}ln_pre", tokens), None)
        return self.norm(f"{prefix}ln_post", tokens) @ own[f"{prefix}proj"]

    def with_text(self, image: Tensor, logits: Tensor) -> Tensor:
        texts, _ = self.tokenizer.decode(logits.softmax(-1))
        captions = [CharsetAdapter(CHARSET_36)(text) for text in texts]
        self.captions += captions
        ids = torch.zeros(len(image), CONTEXT, dtype=torch.long)
        for row, caption in zip(ids, captions, strict=True):
            tokens = self.clip_tokens.encode(caption)
            known = [self.clip_tokens.start, *tokens, self.clip_tokens.end]
            row[: len(known)] = torch.tensor(known)
        own = self.state
        tokens = own["clip_model.token_embedding.weight"][ids]
        tokens = tokens + own["clip_model.positional_embedding"][:CONTEXT]
        mask = nn.Transformer.generate_square_subsequent_mask(CONTEXT)
        tokens = self.norm("clip_model.ln_final", self.tower("clip_model.", tokens, mask))
        return torch.cat([image, tokens @ own["clip_model.text_projection"]], dim=1)

    def attend(self, name: str, query: Tensor, other: Tensor, mask: Tensor | None) -> Tensor:
        attention = nn.MultiheadAttention(SHARED, HEADS, batch_first=True)
        attention.load_state_dict(
            {key: self.state[f"{name}.{key}"] for key in attention.state_dict()}
        )
        if mask is not None:
            mask = mask.repeat_interleave(HEADS, 0)  # true where nothing may be seen
        return attention(query, other, other, attn_mask=mask, need_weights=False)[0]

    def decode(
        self, name: str, tokens: Tensor, memory: Tensor, queries: slice, mask: Tensor
    ) -> Tensor:
        """Tokens (B, S) from [B] on, to logits of some positions."""
        own, layer = self.state, f"{name}.layers.0"
        positions = own[f"{name}.pos_queries"]
        content = math.sqrt(SHARED) * own[f"{name}.text_embed.embedding.weight"][tokens]
        content[:, 1:] += positions[:, : tokens.shape[1] - 1]
        query = positions[:, queries].expand(len(tokens), -1, -1)
        seen = self.norm(f"{layer}.norm_c", content)
        query = query + self.attend(
            f"{layer}.self_attn", self.norm(f"{layer}.norm_q", query), seen, mask
        )
        query = query + self.attend(
            f"{layer}.cross_attn", self.norm(f"{layer}.norm1", query), memory, None
        )
        hidden = self.norm(f"{layer}.norm2", query)
        for number, activation in ((1, nn.functional.gelu), (2, nn.Identity())):
            weight, bias = (own[f"{layer}.linear{number}.{part}"] for part in ("weight", "bias"))
            hidden = activation(nn.functional.linear(hidden, weight, bias))
        query = self.norm(f"{name}.norm", query + hidden)
        return nn.functional.linear(query, own[f"{name}.head.weight"], own[f"{name}.head.bias"])

    def step_by_step(self, name: str, memory: Tensor, steps: int, *, stop: bool) -> Tensor:
        tokens = torch.full((len(memory), 1), 95)
        read: list[Tensor] = []
        for step in range(steps):
            mask = torch.zeros(len(memory), 1, step + 1, dtype=torch.bool)
            read.append(self.decode(name, tokens, memory, slice(step, step + 1), mask))
            tokens = torch.cat([tokens, read[-1].argmax(-1)], dim=1)
            if stop and (tokens == 0).any(1).all():
                break
        return torch.cat(read, dim=1)

    def refined(self, name: str, memory: Tensor, logits: Tensor, steps: int) -> Tensor:
        start = torch.full((len(memory), 1), 95)
        tokens = torch.cat([start, logits[:, :-1].argmax(-1)], dim=1)
        ended = (tokens == 0).cumsum(1) > 0
        own = torch.arange(steps)[:, None] + 1 == torch.arange(tokens.shape[1])
        return self.decode(name, tokens, memory, slice(0, steps), own | ended[:, None])
