#!/usr/bin/env python3
"""What decoding and training with permutations cost over the encoder alone, on this machine.

Prints, for the base PARSeq with fresh weights: reading (AR, all 26 steps, 1 refinement) over the
encoder at batch 1 and 32, and a training step (6 permutations, 10-letter labels, batch 32) over the
encoder's own forward and backward. The two sides of each ratio are timed in turn, so that other
work on the machine disturbs both alike.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch

from strhub.checkpoint.zoo import create_model
from strhub.models.parseq.permutations import sample_permutations
from strhub.training.systems.parseq import PARSeq


def seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--experiment", default="parseq")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = create_model(args.experiment, decode_ar=True, refine_iters=1)
    network = model.model.eval()
    height, width = model.hparams.img_size
    for batch, limit in ((1, 1.5), (32, 1.15)):
        images = torch.randn(batch, 3, height, width)
        with torch.inference_mode():
            compare(
                f"reading, batch {batch}",
                lambda images=images: network(images, 25),
                lambda images=images: network.encoder(images),
                args.repeats,
                limit,
            )
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
