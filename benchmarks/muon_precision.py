#!/usr/bin/env python3
"""Compare Muon's iteration in float32 and in bfloat16: loss curves and milliseconds per step.

python benchmarks/muon_precision.py --steps 150 --seeds 0 1 2

A small PARSeq learns rendered words from scratch, with the same words, initial weights and learning
rates for both.
"""

import argparse
import time
from typing import Any

import numpy as np
import torch

from strhub.checkpoint.experiments import experiment_hyper_parameters
from strhub.data.synth import RenderedWords
from strhub.data.transforms import WordTransform
from strhub.text import CHARSET_36
from strhub.training.optimizers import MuonWithAdamW
from strhub.training.systems.parseq import PARSeq

PRECISIONS = ("float32", "bfloat16")
SIZES = {
    "embed_dim": 128,
    "enc_num_heads": 4,
    "dec_num_heads": 4,
    "enc_depth": 4,
    "patch_size": [8, 8],
    "img_size": [32, 64],
    "max_label_length": 8,
    "charset_train": CHARSET_36,
    "charset_test": CHARSET_36,
    "normalize": "default",
}


def learn(
    words: list[Any], precision: str, *, seed: int, steps: int, batch: int, lr: float
) -> dict[str, Any]:
    """Train from nothing; return the losses, and the milliseconds of the optimizer's median
    step.
    """
    torch.manual_seed(seed)
    system = PARSeq(**{**experiment_hyper_parameters("parseq-tiny"), **SIZES}).train()
    named = [pair for pair in system.named_parameters() if pair[1].requires_grad]
    optimizer = MuonWithAdamW(named, lr=lr, precision=precision)
    transform, rng = WordTransform(SIZES["img_size"]), np.random.default_rng(seed)
    images, labels = (
        torch.stack([transform(image) for image, _ in words]),
        [label for _, label in words],
    )
    losses, times = [], []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = lr * min(20 * (step + 1) / steps, 1, 1.05 * (1 - step / steps))
        chosen = rng.choice(len(words), batch, replace=False)
        optimizer.zero_grad()
        loss = system.training_loss(images[chosen], [labels[index] for index in chosen])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(system.parameters(), 5)
        begin = time.perf_counter()
        optimizer.step()
        times.append(time.perf_counter() - begin)
        losses.append(loss.item())
    return {"losses": losses, "milliseconds": 1000 * float(np.median(times))}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=5e-3)
    parser.add_argument("--words", type=int, default=512)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rendered = RenderedWords(charset=CHARSET_36, max_length=6, seed=0, difficulty=0.1)
    words = [rendered.render(index) for index in range(args.words)]
    print(f"{'seed':>4} {'precision':>10} {'ms':>7}  loss, mean of each tenth of the steps")
    for seed in args.seeds:
        for precision in PRECISIONS:
            result = learn(
                words, precision, seed=seed, steps=args.steps, batch=args.batch, lr=args.lr
            )
            tenths = [float(np.mean(part)) for part in np.array_split(result["losses"], 10)]
            curve = " ".join(f"{value:.3f}" for value in tenths)
            print(f"{seed:>4} {precision:>10} {result['milliseconds']:>7.1f}  {curve}", flush=True)


if __name__ == "__main__":
    main()
