"""The graph of PARSeq: encoder, the loop that reads step by step and stops early, one-pass reading,
refinement.

The mathematics is that of `strhub.models.parseq`. One position at a time and all positions at once
are the same code
here: a step is a pass over one position whose content is what was kept of the earlier ones. What
does not depend on the image, such as the projected position queries, is written as operators on
constants: the runtime computes it once, when it loads the file.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from strhub.export.graph import Graph
from strhub.export.parseq_reader import Reader
from strhub.export.vision_transformer import encode, encode_text
from strhub.models.layers.byte_pairs import BYTES
from strhub.models.layers.clip import ClipImageTower
from strhub.models.layers.vision_transformer import VisionTransformer
from strhub.models.parseq.crossmodal import CrossModalBranch
from strhub.models.parseq.model import PARSeq


def read(graph: Graph, images: str, network: PARSeq, tokens: str | None = None) -> str:
    """Map images (B, 3, H, W) to logits (B, L, charset_size + 1), as the network is set to decode.

    tokens: what an encoder that is not written here makes of the images, (B, N, D).
    """
    if tokens is None:
        assert isinstance(network.encoder, VisionTransformer | ClipImageTower)
        tokens = encode(graph, images, network.encoder)
    reader = Reader(graph, network, tokens)
    logits = reader.first(images, network.decode_ar)
    if network.cross is not None:
        return _read_again(graph, images, network, network.cross, tokens, reader, logits)
    for _ in range(network.refine_iters):
        logits = reader.refine(logits)
    return logits


def _read_again(
    graph: Graph,
    images: str,
    network: PARSeq,
    cross: CrossModalBranch,
    tokens: str,
    reader: Reader,
    logits: str,
) -> str:
    """Return the second branch's logits, as `CrossModalBranch.read_after` does."""
    second = Reader(graph, cross, _see(graph, cross, tokens, logits))
    logits = second.first(images, network.decode_ar)
    for _ in range(network.refine_iters):
        first = reader.refine(logits)
        logits = Reader(graph, cross, _see(graph, cross, tokens, first)).refine(logits)
    return logits


def _see(graph: Graph, cross: CrossModalBranch, tokens: str, logits: str) -> str:
    """Return the image's tokens (B, N, D) and those of the text that was read, (B, L, C)."""
    ids = graph.op("ArgMax", logits, axis=2, keepdims=0)  # (B, L)
    ends = graph.op("Equal", ids, graph.scalar(cross.eos_id))
    counted = graph.op("CumSum", graph.op("Cast", ends, to=TensorProto.INT64), graph.scalar(1))
    ended = graph.op("Greater", counted, graph.scalar(0))
    rows = graph.op("Concat", graph.size(ids, 0), graph.integers(1), axis=0)
    true = graph.op("Expand", graph.weight(np.ones((1, 1), dtype=bool)), rows)
    ended_next = graph.op(
        "Concat",
        graph.op("Slice", ended, graph.integers(1), graph.integers(2**31), graph.integers(1)),
        true,
        axis=1,
    )
    last = graph.op("And", graph.op("Not", ended), ended_next)  # of a word: another token
    at_end = graph.op("Mul", graph.op("Cast", last, to=TensorProto.INT64), graph.scalar(BYTES))
    spelled = graph.op("Gather", graph.weight(cross.spelling.numpy().astype(np.int64)), ids)
    spelled = graph.op("Add", spelled, at_end)
    spelled = graph.op("Where", ended, graph.scalar(cross.end_token), spelled)
    start, end = (
        graph.op("Expand", graph.weight(np.array([[token]], dtype=np.int64)), rows)
        for token in (cross.start_token, cross.end_token)
    )
    text = encode_text(graph, graph.op("Concat", start, spelled, end, axis=1), cross.text_tower)
    return graph.op("Concat", tokens, text, axis=1)  # (B, N + L + 2, D)
