#!/usr/bin/env python3
"""Measure what the contrastive objective adds to a model that reads: strhub-small, fine-tuned with
and without it, on the same words in the same order.

python benchmarks/clip_ablation.py outputs/clip_ablation --data_root data   # again: resumes
python benchmarks/clip_ablation_results.py outputs/clip_ablation            # tables and plots

The convolutions of the model are frozen; their features of all images are computed once
(finetune.cache_features). Besides the objective's own projection, the attention over the columns
and the output layer are trained. All arms of one seed come before the next seed, so that a study
that is stopped early has complete rows. Each run adds a JSON line to <folder>/results.jsonl; runs
that are already there are not repeated.

--subject fresh: the attention and the output layer start with random weights, so that the model
learns to read again, instead of starting out about as good as it gets.

Words are embedded by their letters (contrastive.text_weights=spelling), in one arm by a text tower
that has learned spelling (--text, made by clip_small.py): words with similar spellings lie close
together. See strhub/clip/spelling.py. The objective's projection starts as the best linear one for
the features at the beginning of training.
"""

import argparse
import json
import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from ablation import run_all, short_run, slug
from clip_ablation_scores import Words, fitted, score, words_to_score
from omegaconf import DictConfig, open_dict
from pytorch_lightning import __version__ as lightning

from strhub.clip.text_side import load_text_side
from strhub.clip.words import KeptFeatures
from strhub.data.loading.features import FeatureStore
from strhub.training.cached_features import cache_features, weights_hash
from strhub.training.run import (
    configured_hparams,
    data_from_config,
    model_from_config,
    start_from,
    train,
)
from strhub.training.systems.light_ctc import LightCTC

MODEL = "strhub-small"
OBJECTIVE = {"weight": 0.2, "warmup_steps": 20, "text_weights": "spelling"}
ARMS: dict[str, dict[str, Any]] = {
    "weight 0": {"weight": 0.0},
    "the batch's words": {},
    "+ nearest words": {"nearest": 16},
    "+ own errors": {"nearest": 16, "own_errors": True},
    "all, weight 1": {"nearest": 16, "own_errors": True, "weight": 1.0},
    "a learned text": {"nearest": 16, "own_errors": True, "text_weights": "--text"},
}
MIXTURE = {"real": 0.45, "pseudo": 0.2, "titles": 0.15, "print": 0.05, "rendered": 0.15}


def configuration(args: argparse.Namespace, arm: str, seed: int, steps: int) -> DictConfig:
    """Return what a run is trained with."""
    options, start = {**OBJECTIVE, **ARMS[arm]}, args.subject
    if options["text_weights"] != OBJECTIVE["text_weights"]:
        options["text_weights"], start = args.text, f"{args.subject}-text"
    name = f"{args.subject}-{slug(arm)}-{seed}-{steps}"
    mixture = ", ".join(f"{folder}: {fraction}" for folder, fraction in MIXTURE.items())
    data = (
        ["dataset=rendered", f"data.render.words={args.words}"]
        if args.rendered
        else [
            f"data.mixture={{{mixture}}}",
            f"data.mixture_size={args.words}",
            f"data.root_dir={args.data_root}",
            "data.drop_tall=true",
            "data.render.augment=false",
        ]
    )
    overrides = [
        "+experiment=light_ctc", "optimizer=adamw", "averaging=none", "logger=csv", *data,
        "charset=94_full", "data.augment=strong", "data.render.difficulty=[0,0.9]",
        "data.num_workers=0",
        f"model.batch_size={args.batch}", f"model.lr={args.lr}", "model.warmup_pct=0.1",
        *(f"model.contrastive.{key}={value}" for key, value in options.items()),
        f"model.contrastive.vocabulary={args.folder / 'vocabulary.txt'}",
        f"pretrained={args.folder / f'{start}.ckpt'}",
        "finetune.freeze_encoder=true", "finetune.frozen_half=true",
        f"finetune.cache_features={args.folder / 'features'}",
    ]  # fmt: skip
    return short_run(overrides, args.folder / "runs" / name, steps=steps, seed=seed)


def write_start(args: argparse.Namespace, path: Path, arm: str) -> None:
    """Write what all runs of a subject begin with: its weights, and a projection of the objective
    that is the best linear one for them and an arm's text, so that no steps are spent on finding
    it.
    """
    config = configuration(args, arm, 0, args.steps)
    system = model_from_config(config)
    assert isinstance(system, LightCTC)
    start_from(system, MODEL)
    if args.subject == "fresh":
        torch.manual_seed(0)
        new = model_from_config(config).model.state_dict()
        learned = {
            name: one for name, one in new.items() if name.startswith(("encoder.neck", "head"))
        }
        system.model.load_state_dict(learned, strict=False)
    assert system.contrastive is not None
    assert system.contrastive.projection is not None
    cache_features(system, data_from_config(config, configured_hparams(config)))
    store = FeatureStore(args.folder / "features")
    found = fitted(system.model.eval(), system.tokenizer, store, text_of(system))
    system.contrastive.projection.load_state_dict({"weight": found.T})
    state = {
        "state_dict": system.state_dict(),
        "hyper_parameters": dict(system.hparams),
        "pytorch-lightning_version": lightning,
    }
    torch.save(state, path)


def text_of(system: LightCTC) -> KeptFeatures | None:
    """Return what a system's objective places words with."""
    if system.contrastive is None:
        return None
    options = replace(system.contrastive.options, nearest=0)
    return load_text_side(options, dict(system.hparams), None).features


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data_root", type=Path, default=Path("data"))
    parser.add_argument("--subject", choices=("small", "fresh"), default="small")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS), metavar="ARM")
    parser.add_argument("--steps", type=int, default=160)
    parser.add_argument("--words", type=int, default=12000, help="number of training words")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument(
        "--lr", type=float, default=2.4e-3, help="learning rate for batches of 256 words"
    )
    parser.add_argument(
        "--rendered", action="store_true", help="use only rendered words, without --data_root"
    )
    parser.add_argument(
        "--scored", type=int, default=500, help="number of rendered words to score on"
    )
    parser.add_argument("--text", type=Path, help="clip.safetensors of clip_small.py, for one arm")
    parser.add_argument("--prepare", action="store_true", help="compute the features, then stop")
    args = parser.parse_args()
    if args.text is None:
        args.arms = [arm for arm in args.arms if "text_weights" not in ARMS[arm]]
    else:
        args.text = args.text.absolute()
    args.folder, args.data_root = args.folder.absolute(), args.data_root.absolute()
    return args


def run(
    args: argparse.Namespace, arm: str, seed: int, steps: int, words: dict[str, Words]
) -> dict[str, Any]:
    """Train one arm with one seed and score it."""
    config = configuration(args, arm, seed, steps)
    folder = Path(config.output_dir)
    with open_dict(config):
        config.callbacks.curve = {
            "_target_": "clip_ablation_scores.Curve",
            "words": str(args.folder / "test.pt"),
            "kind": "val" if "val" in words else "rendered",
            "output": str(folder / "curve.json"),
            "every": max(1, steps // 4),
        }
    metrics = train(config)
    (checkpoint,) = folder.rglob("last.ckpt")
    system = model_from_config(config)
    assert isinstance(system, LightCTC)
    system.load_state_dict(torch.load(checkpoint, weights_only=True)["state_dict"])
    checkpoint.unlink()
    curve = json.loads((folder / "curve.json").read_text("utf-8"))
    store = FeatureStore(args.folder / "features")
    return {
        "arm": arm,
        "seed": seed,
        "steps": steps,
        "subject": args.subject,
        "batch": args.batch,
        "lr": args.lr,
        "words": args.words,
        "loss": round(metrics["loss"], 4),
        "seconds": curve[-1]["seconds"],
        "curve": curve,
        "encoder": weights_hash(system)[:16],
        "images": store.made_of["the training images"][:16],
        **score(system.model, system.tokenizer, system.contrastive, words, store, text_of(system)),
    }


def score_start(args: argparse.Namespace, model: Any, words: dict[str, Words]) -> None:
    """Write how the model reads before any of this."""
    path = args.folder / f"start-{args.subject}.json"
    if not path.exists():
        store = FeatureStore(args.folder / "features")
        found = score(model.model, model.tokenizer, None, words, store)
        path.write_text(json.dumps(found), "utf-8")


def describe(args: argparse.Namespace, words: dict[str, Words]) -> None:
    """Write what was scored: labels by kind, and which of them are among the training words."""
    store = FeatureStore(args.folder / "features")
    vocabulary = "\n".join(dict.fromkeys(label for label in store.labels if label))
    (args.folder / "vocabulary.txt").write_text(vocabulary, "utf-8")
    path = args.folder / "words.json"
    if path.exists():
        return
    config = configuration(args, "weight 0", 0, args.steps)
    data = data_from_config(config, configured_hparams(config))
    known = {word.casefold() for word in data.training_words()}
    known |= {word.casefold() for word in FeatureStore(args.folder / "features").labels}
    content = {
        kind: {
            "labels": found.labels,
            "known": [label.casefold() in known for label in found.labels],
        }
        for kind, found in words.items()
    }
    path.write_text(json.dumps(content), "utf-8")


def main() -> None:
    args = parse()
    logging.basicConfig(level=logging.WARNING)
    args.folder.mkdir(parents=True, exist_ok=True)
    starts = {args.subject: "the batch's words"}
    if args.text is not None:
        starts[f"{args.subject}-text"] = "a learned text"
    for name, arm in starts.items():
        if not (args.folder / f"{name}.ckpt").exists():
            write_start(args, args.folder / f"{name}.ckpt", arm)
    config = configuration(args, "weight 0", 0, args.steps)
    model = model_from_config(config)
    start_from(model, config.pretrained)
    begin = time.process_time()
    cache_features(model, data_from_config(config, configured_hparams(config)))
    val = None if args.rendered else args.data_root / "val"
    words = words_to_score(args.folder / "test.pt", model.model, model.hparams, val, args.scored)
    describe(args, words)
    score_start(args, model, words)
    print(f"features: {time.process_time() - begin:.0f} s", flush=True)
    if not args.prepare:
        wanted = [(arm, seed, args.steps) for seed in args.seeds for arm in args.arms]
        run_all(args.folder, wanted, lambda arm, seed, steps: run(args, arm, seed, steps, words))


if __name__ == "__main__":
    main()
