#!/usr/bin/env python3
"""What each part of the contrastive objective brings, on small towers from random weights.

python benchmarks/clip_ablation.py outputs/clip_ablation --seeds 0 1 2 --steps 300 --real data/val
python benchmarks/clip_ablation.py outputs/clip_ablation --table

Every arm takes the same steps over the same rendered words in the same order; only the objective
differs. One JSON line a run goes to <folder>/results.jsonl; runs that are there already are not
repeated, so the command can be stopped and given again. Measured are words read right and words
found among the vocabulary by their image, on rendered words that were not trained on, and words
read right in the images below --real, of those that are not too long for the model.

The text tower is small, reads bytes and has random weights that never change: it tells spellings
apart, but it has learned nothing. What a trained one would bring, these runs do not show.
"""

import argparse
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from ablation import accuracy, results_of, run_all, slug, stored, table
from hydra import compose, initialize_config_dir
from PIL.Image import Resampling
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from strhub import Recognizer, load
from strhub.clip.text_side import load_text_side
from strhub.clip.words import WordSpace
from strhub.configs import CONFIG_DIR
from strhub.data.module import SceneTextDataModule
from strhub.data.sources.lmdb import write_lmdb
from strhub.data.synth import RenderedWords
from strhub.images.options import image_options
from strhub.text import CHARSET_36
from strhub.training.run import model_from_config, train
from strhub.training.systems.parseq import PARSeq

WIDTH, DEPTH, TEXT_WIDTH = 96, 2, 64
SIZE, LONGEST = (64, 32), 4  # pixels, characters
CONTRASTIVE = {"weight": 0.2, "warmup_steps": 100, "adapter": 128, "refresh_every": 100}
ARMS: dict[str, dict[str, Any]] = {
    "lambda 0": {"weight": 0.0},
    "in-batch": {},
    "+ nearest words": {"nearest": 8},
    "+ own errors": {"nearest": 8, "own_errors": True},
    "+ cross-modal": {"nearest": 8, "own_errors": True},
}
CROSS_MODAL = ("model.cross_modal=true", f"model.text_embed_dim={TEXT_WIDTH}",
    f"model.text_depth={DEPTH}",
               "model.text_vocab_size=514")  # fmt: skip
MEASURES = {"drawn": 1, "real": 1, "retrieval": 1}  # and how many decimals are shown


def draw_data(folder: Path, train_words: int, val_words: int, difficulty: float) -> None:
    """Draw the words of all runs once, in the size that they are read in."""
    words = RenderedWords(
        charset=CHARSET_36,
        max_length=LONGEST,
        seed=11,
        difficulty=difficulty,
        mixture={"word": 1.0},
    )
    for name, first, count in (
        ("train/real/drawn", 0, train_words),
        ("val/drawn", train_words, val_words),
    ):
        if not (folder / name / "data.mdb").exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            rendered = (words.render(index) for index in range(first, first + count))
            write_lmdb(
                folder / name,
                [(image.resize(SIZE, Resampling.BICUBIC), label) for image, label in rendered],
            )


def write_text_tower(path: Path) -> None:
    """A CLIP whose text tower reads bytes and whose weights are random, but large enough to tell
    texts apart.
    """
    generator = torch.Generator().manual_seed(17)

    def noise(*shape: int) -> Tensor:
        scale = 0.5 if len(shape) < 2 or shape[0] > 4 * TEXT_WIDTH else math.sqrt(3 / shape[-1])
        return (torch.rand(*shape, generator=generator) * 2 - 1) * scale

    width = TEXT_WIDTH
    state = {
        "visual.conv1.weight": noise(width, 3, 8, 8), "visual.class_embedding": noise(width),
            "visual.proj":
        noise(width, WIDTH), "visual.positional_embedding": noise(17, width),
            "token_embedding.weight":
        noise(514, width), "positional_embedding": noise(77, width), "text_projection": noise(width,
        WIDTH),
    }  # fmt: skip
    for prefix in ("visual.transformer", "transformer"):
        for block in (f"{prefix}.resblocks.{number}" for number in range(DEPTH)):
            state |= {
                f"{block}.attn.in_proj_weight": noise(3 * width, width),
                    f"{block}.attn.in_proj_bias":
                torch.zeros(3 * width), f"{block}.attn.out_proj.weight": noise(width, width),
                f"{block}.attn.out_proj.bias": torch.zeros(width),
                f"{block}.mlp.c_fc.weight": noise(4 * width, width),
                    f"{block}.mlp.c_fc.bias": torch.zeros(4 * width), f"{block}.mlp.c_proj.weight":
                noise(width, 4 * width), f"{block}.mlp.c_proj.bias": torch.zeros(width),
            }  # fmt: skip
            for norm in ("ln_1", "ln_2"):
                state |= {
                    f"{block}.{norm}.weight": torch.ones(width),
                    f"{block}.{norm}.bias": torch.zeros(width),
                }
    for norm in ("visual.ln_pre", "visual.ln_post", "ln_final"):
        state |= {f"{norm}.weight": torch.ones(width), f"{norm}.bias": torch.zeros(width)}
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)


def configuration(folder: Path, arm: str, seed: int, steps: int) -> Any:
    """What the run is trained with."""
    options = {**CONTRASTIVE, **ARMS[arm]}
    overrides = [
        "charset=36_lowercase", "optimizer=muon", "averaging=none", "logger=csv", "dataset=real",
        "model.encoder=clip", f"model.enc_embed_dim={WIDTH}", f"model.embed_dim={WIDTH}",
        f"model.enc_depth={DEPTH}", "model.enc_num_heads=3", "model.dec_num_heads=3",
        "model.patch_size=[32,4]", "model.img_size=[32,64]", f"model.max_label_length={LONGEST}",
        "model.batch_size=64", "model.lr=2e-2", "model.weight_decay=0.01", "model.dropout=0.0",
        "model.perm_num=2", "model.refine_iters=1", "pretrained_encoder=null",
        f"model.contrastive.text_weights={folder / 'text.safetensors'}",
        *(f"model.contrastive.{name}={value}" for name, value in options.items()),
        "data.normalize=clip", f"data.root_dir={folder / 'data'}", "data.augment=false",
        "data.num_workers=0", "trainer.accelerator=cpu", "trainer.devices=1",
        f"trainer.max_steps={steps}", "trainer.max_epochs=-1", "trainer.limit_val_batches=0",
        "trainer.gradient_clip_val=5", "+trainer.enable_progress_bar=false",
        "callbacks.summary=null", "callbacks.best=null", "callbacks.rate=null", f"seed={seed}",
        f"output_dir={folder / 'runs' / f'{slug(arm)}-{seed}'}",
        *(CROSS_MODAL if arm == "+ cross-modal" else ()),
    ]  # fmt: skip
    with initialize_config_dir(str(CONFIG_DIR.absolute()), version_base="1.3"):
        return compose("main", overrides=overrides)


def run(folder: Path, arm: str, seed: int, steps: int, real: Path | None) -> dict[str, Any]:
    """Train one arm with one seed and measure it."""
    config = configuration(folder, arm, seed, steps)
    begin = time.process_time()
    metrics = train(config)
    trained = time.process_time() - begin
    (checkpoint,) = Path(config.output_dir).rglob("last.ckpt")
    recognizer = Recognizer(load(checkpoint), device="cpu", batch_size=64, reread_below=0)
    rendered = stored(folder / "data" / "val")
    result = {
        "arm": arm, "seed": seed, "steps": steps, "loss": metrics["loss"], "seconds": trained,
        "drawn": accuracy(recognizer, rendered), "retrieval": retrieval(config, checkpoint,
        rendered),
    }  # fmt: skip
    if real is not None:
        result["real"] = accuracy(
            recognizer, [word for word in stored(real) if 0 < len(word[1]) <= LONGEST]
        )
    return result


def retrieval(config: Any, checkpoint: Path, words: Sequence[tuple[Any, str]]) -> float:
    """Percent of images whose own word is the nearest of all words that occur in them."""
    system = model_from_config(config)
    assert isinstance(system, PARSeq)
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    system.load_state_dict(state)
    system.eval()
    objective = system.contrastive
    options = {**system.hparams["contrastive"], "nearest": 0}
    features = load_text_side(type_of(options), dict(system.hparams), None).features
    space = WordSpace([label for _, label in words], features)
    transform = SceneTextDataModule.get_transform(**image_options(system.hparams))
    right = 0
    with torch.inference_mode():
        if objective is not None and objective.adapter is not None:
            space.refresh(objective.adapter)
        for start in range(0, len(words), 100):
            part = words[start : start + 100]
            encoded = system.model.encoder(torch.stack([transform(image) for image, _ in part]))
            if objective is not None:
                images = objective.image_directions(encoded)
            else:
                images = F.normalize(encoded[:, 0], dim=-1)
            best, _ = space.nearest(images, 1)
            right += sum(
                space.words[int(i)].lower() == label.lower()
                for i, (_, label) in zip(best, part, strict=True)
            )
    return 100 * right / len(words)


def type_of(options: dict[str, Any]) -> Any:
    """The options as the objective takes them."""
    from strhub.clip.contrastive import ContrastiveOptions

    return ContrastiveOptions.from_options(options)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS), metavar="ARM")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--train_words", type=int, default=4000)
    parser.add_argument("--val_words", type=int, default=600)
    parser.add_argument("--difficulty", type=float, default=0.0)
    parser.add_argument("--real", type=Path, help="folder of LMDBs with photographs")
    parser.add_argument(
        "--table", action="store_true", help="print the table of what is there and stop"
    )
    args = parser.parse_args()
    folder = args.folder.absolute()
    if not args.table:
        folder.mkdir(parents=True, exist_ok=True)
        draw_data(folder / "data", args.train_words, args.val_words, args.difficulty)
        write_text_tower(folder / "text.safetensors")
        wanted = [(arm, seed, args.steps) for seed in args.seeds for arm in args.arms]
        run_all(folder, wanted, lambda arm, seed, steps: run(folder, arm, seed, steps, args.real))
    print(table(results_of(folder), list(ARMS), MEASURES))


if __name__ == "__main__":
    main()
