#!/usr/bin/env python3
"""Measure what decoding, and training with permutations, cost relative to the encoder alone, on
this machine.

Prints, for the base PARSeq with fresh weights: reading (AR, all 26 steps, 1 refinement) relative to
the encoder at batch sizes 1 and 32; reading one word of 6 and of 25 letters, step by step and by a
draft that is right at once; and a training step (6 permutations, 10-letter labels, batch size 32)
relative to the encoder's own forward and backward pass. Times are processor time, and the two sides
of each ratio are timed in turn, so that other work on the machine affects both alike.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import numpy as np
import torch
from torch import Tensor

from strhub.checkpoint.zoo import create_model
from strhub.models.parseq.decoder import Masks
from strhub.models.parseq.drafting import CHUNK, checking_masks
from strhub.models.parseq.model import PARSeq as Network
from strhub.models.parseq.permutations import sample_permutations
from strhub.training.systems.parseq import PARSeq


def seconds(call: Callable[[], object]) -> float:
    begin = time.process_time()
    call()
    return time.process_time() - begin


def compare(
    name: str, whole: Callable[[], object], part: Callable[[], object], repeats: int, limit: float
) -> None:
    """Print the median of the paired ratios and of both times."""
    for call in (whole, part):
        call()
        call()
    pairs = [(seconds(whole), seconds(part)) for _ in range(repeats)]
    ratio = median(first / second for first, second in pairs)
    times = [1000 * median(column) for column in zip(*pairs, strict=True)]
    print(
        f"{name}: {ratio:.3f} times the encoder (goal {limit}); {times[0]:.1f} ms over "
        f"{times[1]:.1f} ms",
        flush=True,
    )


def compare_drafts(network: Network, image: Tensor, repeats: int) -> None:
    """Print what a word costs by steps and by a draft, over the encoder alone."""
    for letters in (6, 25):
        tokens = torch.full((1, letters + 1), network.bos_id)
        tokens[:, 1:] = torch.arange(1, letters + 1)  # a text that no [E] cuts short
        masks = checking_masks(tokens == network.eos_id)
        drafted = CHUNK if letters < CHUNK else letters + 1

        def by_steps(steps: int = letters + 1) -> None:
            memory = network.decoder.project_memory(network.encoder(image))
            network.refine(memory, network._read_step_by_step(memory, steps, stop_early=False))

        def by_draft(tokens: Tensor = tokens, masks: Masks = masks, drafted: int = drafted) -> None:
            memory = network.decoder.project_memory(network.encoder(image))
            network._read_in_one_pass(memory, CHUNK)
            if drafted > CHUNK:
                network._read_in_one_pass(memory, drafted, CHUNK)
            network._decode_variants(tokens, slice(tokens.shape[1]), memory, masks)

        with torch.inference_mode():
            for name, call in (("steps", by_steps), ("a draft", by_draft)):
                title = f"one word of {letters} letters, {name}"
                compare(title, call, lambda: network.encoder(image), repeats, 1.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--experiment", default="parseq")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = create_model(args.experiment, decode_ar=True, refine_iters=1)
    network = model.model.eval()
    assert isinstance(network, Network)
    height, width = model.hparams.img_size
    for batch, limit in ((1, 1.5), (32, 1.15)):
        images = torch.randn(batch, 3, height, width)
        with torch.inference_mode():
            compare(
                f"reading, batch {batch}",
                partial(network, images, 25),
                partial(network.encoder, images),
                args.repeats,
                limit,
            )
    compare_drafts(network, torch.randn(1, 3, height, width), args.repeats)
    system = PARSeq(**model.hparams)
    images = torch.randn(32, 3, height, width)
    tokens = system.tokenizer.encode(["abcdefghij"] * 32)
    permutations = sample_permutations(
        10, count=6, forward=True, mirrored=True, rng=np.random.default_rng(0)
    )

    def encoder_step() -> None:
        system.zero_grad()
        system.model.encoder(images).sum().backward()

    def training_step() -> None:
        system.zero_grad()
        system.permutation_loss(system.model.encoder(images), tokens, permutations).backward()

    compare("training step, batch 32", training_step, encoder_step, max(3, args.repeats // 3), 1.25)


if __name__ == "__main__":
    main()
