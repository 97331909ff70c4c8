#!/usr/bin/env python3
"""What the contrastive objective and a second branch bring to a vision transformer of CLIP's layout
that reads, fine-tuned as a whole, or by low-rank changes to its image tower: the same words in the
same order for all arms of a seed.

python benchmarks/clip_small.py outputs/clip_small --data_root data
python benchmarks/clip_ablation_vit.py outputs/clip_vit --clip outputs/clip_small --data_root data
python benchmarks/clip_ablation_results.py outputs/clip_vit                  # tables and plots

Works as `clip_ablation.py`, in legs. Words are placed by the text tower that belongs to the image
tower, which knows spelling; the second branch reads with it, too. The convolutions below the
transformer stay as they are.
"""

import argparse
import hashlib
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from ablation import run_all, short_run, slug
from clip_ablation_scores import Curve, found, kinds, packed, rights
from omegaconf import DictConfig, open_dict
from torch import Tensor
from torch.nn import functional as F

from strhub.clip.spelling import SpellingFeatures
from strhub.clip.text_side import load_text_side
from strhub.clip.words import KeptFeatures, WordSpace
from strhub.data.module import SceneTextDataModule
from strhub.images.options import image_options
from strhub.images.preprocess import NORMALIZATIONS
from strhub.training.run import model_from_config, start_from, train
from strhub.training.systems.parseq import PARSeq

BATCH = 64
CANDIDATES = 10_000  # training words that an image's word is looked for among
PROBED = 2000  # training words that the linear probe is fitted to
SCORED = ("val", "rendered", "blur 3.5", "bar 0.06")
OBJECTIVE = {
    "weight": 0.2,
    "warmup_steps": 5,
    "vocabulary_size": 5000,
    "nearest": 16,
    "own_errors": True,
}
ARMS: dict[str, dict[str, Any]] = {
    "weight 0": {"weight": 0.0, "nearest": 0, "own_errors": False},
    "the batch's words": {"nearest": 0, "own_errors": False},
    "+ nearest words": {"own_errors": False},
    "+ own errors": {},
    "+ second branch": {},
    "second branch, weight 0": {"weight": 0.0, "nearest": 0, "own_errors": False},
    "LoRA, weight 0": {"weight": 0.0, "nearest": 0, "own_errors": False},
    "LoRA, + own errors": {},
}
RANK = 8  # of the low-rank changes to the image tower, in the arms with them
SIZES = (
    "img_size", "patch_size", "embed_dim", "enc_stem", "enc_embed_dim", "enc_depth",
    "enc_num_heads", "enc_activation", "dec_num_heads", "dec_depth", "perm_num", "cross_modal",
    "text_embed_dim", "text_depth", "text_vocab_size",
)  # fmt: skip


def configuration(args: argparse.Namespace, arm: str, seed: int, steps: int) -> DictConfig:
    """Return what a run is trained with."""
    options = {**OBJECTIVE, **ARMS[arm], "text_weights": args.clip / "clip.safetensors",
               "vocabulary": args.clip / "vocabulary.txt"}  # fmt: skip
    start = args.clip / ("vit-cross.ckpt" if "second branch" in arm else "vit.ckpt")
    hparams = torch.load(start, weights_only=True)["hyper_parameters"]
    overrides = [
        "model=parseq", "model.encoder=clip", "pretrained_encoder=null", f"pretrained={start}",
        *(f"model.{name}={hparams[name]}" for name in SIZES if hparams.get(name) is not None),
        *(f"model.contrastive.{key}={value}" for key, value in options.items()),
        "optimizer=adamw", "averaging=none", "logger=csv", "charset=94_full", "data.augment=false",
        "data.mixture={real: 0.7, pseudo: 0.2, titles: 0.1}", f"data.mixture_size={args.words}",
        f"data.root_dir={args.data_root}", "data.drop_tall=true", "data.normalize=clip",
        "data.num_workers=0", f"model.batch_size={args.batch}", f"model.lr={args.lr}",
        "model.warmup_pct=0.1", "model.dropout=0.0",
        *([f"finetune.lora_rank={RANK}"] if arm.startswith("LoRA") else []),
    ]  # fmt: skip
    output = args.folder / "runs" / f"{slug(arm)}-{seed}-{steps}"
    config = short_run(overrides, output, steps=steps, seed=seed)
    with open_dict(config):
        config.callbacks.frozen = {"_target_": "clip_ablation_vit.FrozenConvolutions"}
    return config


class FrozenConvolutions(pl.Callback):
    """Leaves the encoder's convolutions and their statistics as they are."""

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        """Freeze them before each step."""
        pl_module.model.encoder.patch_embed.eval().requires_grad_(False)


def take_patches(system: PARSeq) -> None:
    """Let a system read what its convolutions, which never learn, have made of images, too."""
    embed = system.model.encoder.patch_embed
    if "forward" not in vars(embed):
        whole = embed.forward
        embed.forward = lambda images: images if images.ndim == 3 else whole(images)


class Read:
    """What a system makes of patches (n, 32, D): texts, confidences, each image's mean token and
    class token, (n, D).
    """

    @torch.inference_mode()
    def __init__(self, system: PARSeq, patches: Tensor, *, texts: bool = True) -> None:
        system.eval()
        take_patches(system)
        self.texts: list[str] = []
        self.confidences: list[float] = []
        pooled, first = [], []
        for start in range(0, len(patches), BATCH):
            batch = patches[start : start + BATCH].float()
            tokens = system.model.encoder(batch)
            pooled.append(tokens.mean(1))
            first.append(tokens[:, 0])
            if texts:
                some, sure = system.tokenizer.decode(system.model(batch).softmax(-1))
                self.texts += some
                self.confidences += [float(np.prod(np.asarray(each))) for each in sure]
        self.pooled, self.first = torch.cat(pooled), torch.cat(first)


class Images:
    """What is scored: patches (N, 32, D) in 16 bits and labels by kind; those of training images,
    for a probe; and the words that an image's own is looked for among.
    """

    def __init__(self, args: argparse.Namespace, system: PARSeq, text: KeptFeatures) -> None:
        path = args.folder / "test.pt"
        transform = SceneTextDataModule.get_transform(**image_options(system.hparams))
        if not path.exists():
            words = {}
            for kind, some in kinds(args.data_root / "val", args.scored).items():
                if kind in SCORED:
                    images = torch.stack([transform(image) for image, _ in some])
                    words[kind] = (patches_of(system, images), [label for _, label in some])
            torch.save(words, path)
        self.words = torch.load(path, weights_only=True)
        train = torch.load(args.clip / "images.pt", weights_only=True, mmap=True)
        chosen = torch.linspace(0, len(train["labels"]) - 1, PROBED).long()
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in NORMALIZATIONS["clip"])
        self.trained = patches_of(system, (train["images"][chosen].float() / 255 - mean) / std)
        self.trained_labels = [train["labels"][int(index)] for index in chosen]
        vocabulary = (args.clip / "vocabulary.txt").read_text("utf-8").split()
        self.known = {*vocabulary}
        every = max(1, len(vocabulary) // CANDIDATES)
        words = [*dict.fromkeys([*self.words["val"][1], *vocabulary[::every]])]
        self.by_letters, self.by_tower = (
            WordSpace(words, one) for one in (SpellingFeatures(), text)
        )


@torch.inference_mode()
def patches_of(system: PARSeq, images: Tensor) -> Tensor:
    """Return what a system's convolutions make of images (N, 3, H, W)."""
    embed = system.model.eval().encoder.patch_embed
    return torch.cat([embed(some) for some in images.split(BATCH)]).half()


def score(system: PARSeq, images: Images) -> dict[str, Any]:
    """Return a run's figures, as those of `clip_ablation_scores.score`."""
    result: dict[str, Any] = {"right": {}, "accuracy": {}}
    read = {}
    for kind, (patches, labels) in images.words.items():
        read[kind] = Read(system, patches)
        right = rights(read[kind].texts, labels)
        result["right"][kind] = packed(right)
        result["accuracy"][kind] = round(100 * sum(right) / len(right), 3)
    result["per_mille_sure"] = [round(1000 * one) for one in read["val"].confidences]
    labels = images.words["val"][1]
    pooled = Read(system, images.trained, texts=False).pooled
    targets = F.normalize(SpellingFeatures().compute(images.trained_labels), dim=-1)
    square = pooled.T @ pooled
    ridge = 1e-3 * square.diagonal().mean() * torch.eye(len(square))
    probe = torch.linalg.solve(square + ridge, pooled.T @ targets)
    result["found by probe"] = found(images.by_letters, read["val"].pooled @ probe, labels)
    result["found by projection"] = found(images.by_tower, read["val"].first, labels)
    return result


class ImageCurve(Curve):
    """The same for a system that reads patches."""

    of = 6

    def texts(self, system: Any, features: Any) -> list[str]:
        """Return what a system reads in patches."""
        return Read(system, features).texts


def run(
    args: argparse.Namespace, arm: str, seed: int, steps: int, images: Images
) -> dict[str, Any]:
    """Train one arm with one seed and score it."""
    config = configuration(args, arm, seed, steps)
    folder = Path(config.output_dir)
    with open_dict(config):
        config.callbacks.curve = {
            "_target_": "clip_ablation_vit.ImageCurve", "words": str(args.folder / "test.pt"),
            "kind": "val", "output": str(folder / "curve.json"), "every": max(1, steps // 2),
        }  # fmt: skip
    metrics = train(config)
    (checkpoint,) = folder.rglob("last.ckpt")
    system = model_from_config(config)
    assert isinstance(system, PARSeq)
    system.load_state_dict(torch.load(checkpoint, weights_only=True)["state_dict"])
    checkpoint.unlink()
    curve = json.loads((folder / "curve.json").read_text("utf-8"))
    return {
        "arm": arm, "seed": seed, "steps": steps, "subject": "vit", "batch": args.batch,
        "lr": args.lr, "words": args.words, "loss": round(metrics["loss"], 4),
        "seconds": curve[-1]["seconds"], "curve": curve, "start": args.hash,
        **score(system, images),
    }  # fmt: skip


def describe(args: argparse.Namespace, system: PARSeq, images: Images) -> None:
    """Write how the model reads before any of this, and which words training has shown."""
    content = {
        kind: {"labels": labels, "known": [label.casefold() in images.known for label in labels]}
        for kind, (_, labels) in images.words.items()
    }
    (args.folder / "words.json").write_text(json.dumps(content), "utf-8")
    path = args.folder / "start-vit.json"
    if not path.exists():
        found = score(system, images)
        path.write_text(json.dumps(found), "utf-8")
        print(found["accuracy"], found["found by probe"], found["found by projection"], flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clip", type=Path, required=True, help="folder that clip_small.py wrote")
    parser.add_argument("--data_root", type=Path, default=Path("data"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS), metavar="ARM")
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--words", type=int, default=4000, help="training words")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1e-3, help="for 256 words")
    parser.add_argument("--scored", type=int, default=300, help="rendered words to score on")
    args = parser.parse_args()
    for name in ("folder", "clip", "data_root"):
        setattr(args, name, getattr(args, name).absolute())
    args.hash = hashlib.sha256((args.clip / "vit.ckpt").read_bytes()).hexdigest()[:16]
    return args


def main() -> None:
    args = parse()
    logging.basicConfig(level=logging.WARNING)
    args.folder.mkdir(parents=True, exist_ok=True)
    config = configuration(args, "+ own errors", 0, args.steps)
    system = model_from_config(config)
    assert isinstance(system, PARSeq)
    start_from(system, config.pretrained)
    assert system.contrastive is not None
    text = load_text_side(
        replace(system.contrastive.options, nearest=0), dict(system.hparams), None
    ).features
    images = Images(args, system, text)
    describe(args, system, images)
    wanted = [(arm, seed, args.steps) for seed in args.seeds for arm in args.arms]
    run_all(args.folder, wanted, lambda arm, seed, steps: run(args, arm, seed, steps, images))


if __name__ == "__main__":
    main()
