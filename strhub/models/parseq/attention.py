"""Where PARSeq looks for each character: the decoder's attention to the image (section 3.2 of the
paper).
"""

from __future__ import annotations

import torch
from torch import Tensor

from strhub.models.layers.attention import KeyValue, MultiHeadAttention
from strhub.models.parseq.decoder import Masks, cloze_masks, one_pass_masks, permutation_masks
from strhub.models.parseq.encoders import grid_size
from strhub.models.parseq.model import PARSeq


@torch.no_grad()
def read_with_attention(network: PARSeq, images: Tensor) -> tuple[Tensor, Tensor]:
    """Read images (B, 3, H, W), normalized, and tell where the last layer looked for each position.

    Returns logits (B, L, C), as the network is set to decode, and attention (B, L, H', W'), the
    mean over heads on the patches' grid. A position's shares add up to 1, less what a class token
    takes. They are those of a pass with the final text as context, under the mask of the network's
    last pass.
    """
    encoded = network.encoder(images)
    logits = network(images)
    length = logits.shape[1]
    start = torch.full((len(images), 1), network.bos_id, device=images.device)
    tokens = torch.cat([start, logits[:, :-1].argmax(-1)], dim=1)
    hidden = (tokens == network.eos_id).cumsum(-1) > 0
    if network.refine_iters:
        masks = cloze_masks(length, hidden)
    elif network.decode_ar:
        order = torch.arange(length + 1, device=images.device).unsqueeze(0)
        masks = permutation_masks(order, torch.zeros_like(hidden))
    else:
        tokens, masks = start, one_pass_masks(length, hidden[:, :1])
    fractions = _last_attention(
        network, tokens, length, network.decoder.project_memory(encoded), masks
    )  # (B, L, N)
    rows, columns = grid_size(network.encoder, images)
    return logits, fractions[:, :, -rows * columns :].unflatten(2, (rows, columns))


def _last_attention(
    network: PARSeq, tokens: Tensor, steps: int, memory: list[KeyValue], masks: Masks
) -> Tensor:
    """Return the last layer's attention to the image's tokens, (B, L, N), from content tokens (B,
    S).
    """
    decoder = network.decoder
    query = network.pos_queries[:, None, :steps].expand(len(tokens), -1, -1, -1)  # (B, 1, L, D)
    content = network.embed_content(tokens).unsqueeze(1)
    for index, (layer, memory_kv) in enumerate(zip(decoder.stack, memory, strict=True)):
        normed = layer.norm_c(content)
        content_kv = layer.self_attn.project_key_value(normed.flatten(0, 1))
        if index + 1 < len(decoder.stack):
            query = layer(query, layer.norm_q(query), content_kv, memory_kv, masks.for_query(True))
            content = layer(content, normed, content_kv, memory_kv, masks.for_content(True))
    last = decoder.stack[-1]
    stream = query + last.attend_to_content(last.norm_q(query), content_kv, masks.for_query(True))
    return _fractions(last.cross_attn, last.norm1(stream).squeeze(1), memory[-1])


def _fractions(attention: MultiHeadAttention, queries: Tensor, context: KeyValue) -> Tensor:
    """Map queries (B, L, D) to what fraction of each context token goes into them, (B, L, N), the
    mean over heads.
    """
    query = attention.project_query(queries)  # (B, H, L, D / H)
    scores = query @ context.key.transpose(-1, -2) * query.shape[-1] ** -0.5
    return scores.softmax(-1).mean(1)
