#!/usr/bin/env python3
"""A small CLIP of our own that reads, made within minutes of one processor.

python benchmarks/clip_small.py outputs/clip_small --data_root data

Text: a causal transformer over single letters, trained to find a word's misspelling (one letter
replaced, left out, put in, or two exchanged) among those of other words, some of them alike.
Images: a vision transformer with CLIP's class token, norm before the blocks and activation. It
begins as strhub-tiny's encoder, whose convolutions and blocks it has, and learns to make of an
image what that makes; its class token learns to point at the image's word, as the text tower places
it. With strhub-tiny's decoder it reads.

Writes clip.safetensors, both towers in the published layout (only with convolutions in place of
patches), which as text_weights stands for its text tower; vit.ckpt and vit-cross.ckpt, with one and
two branches, which `clip_ablation.py --subject vit` begins with; images.pt, the training images.
"""

import argparse
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import __version__ as lightning
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

import strhub
from strhub.checkpoint.clip_names import published_state
from strhub.clip.tokenizer import ClipTokenizer
from strhub.data.module import SceneTextDataModule
from strhub.data.sources.dataset import UnreadableRecord
from strhub.data.sources.lmdb import LmdbWords, find_lmdbs
from strhub.images.preprocess import NORMALIZATIONS
from strhub.models.layers.clip import ClipImageTower, ClipTextTower
from strhub.text import CHARSET_36, LabelPreparation
from strhub.utils.files import write_whole

TEACHER = "strhub-tiny"
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
WIDTH = 160  # of strhub-tiny, whose blocks the image tower has
TEXT: dict[str, Any] = {
    "vocab_size": 514, "context_length": 77, "embed_dim": 128, "depth": 2, "num_heads": 2,
    "output_dim": WIDTH,
}  # fmt: skip
KINDS = {"real": 1, "pseudo": 7, "titles": 12}  # every how many-th word is an image to learn from
BATCH = 64
SHARPNESS = 20.0  # logits are cosines times that
POINTING = 0.02  # weight of the class token's loss beside that of the tokens


def misspelled(word: str, rng: random.Random) -> str:
    """Return a word with one mistake."""
    at, letter, kind = rng.randrange(len(word)), rng.choice(LETTERS), rng.randrange(4)
    if kind == 0 and len(word) > 1:
        return word[:at] + word[at + 1 :]
    if kind == 1:
        return word[:at] + letter + word[at:]
    if kind == 2 and at + 1 < len(word):
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return word[:at] + letter + word[at + 1 :]


def plain(label: str) -> str:
    """Return a label's letters and digits, in lower case."""
    return "".join(character for character in label.lower() if character in LETTERS)


def labels_of(root: Path) -> Iterator[str]:
    """Yield the labels of all training words of the kinds."""
    prepare = LabelPreparation(CHARSET_36, max_length=None, strict=False)
    for kind in KINDS:
        for path in find_lmdbs(root / "train" / kind):
            yield from LmdbWords(path, prepare_label=prepare).labels


def train_text(words: list[str], steps: int) -> ClipTextTower:
    """Return a text tower that knows spelling."""
    torch.manual_seed(0)
    rng, tower, tokenizer = random.Random(0), ClipTextTower(**TEXT), ClipTokenizer(())
    optimizer = torch.optim.AdamW(tower.parameters(), lr=2e-3, weight_decay=0.01)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    begin, total = time.process_time(), 0.0
    for step in range(1, steps + 1):
        chosen = rng.sample(words, BATCH)
        chosen += [misspelled(misspelled(word, rng), rng) for word in chosen]  # other words, alike
        both = [*chosen, *(misspelled(word, rng) for word in chosen)]
        vectors = F.normalize(tower(*tokenizer(both, TEXT["context_length"])), dim=-1)
        logits = SHARPNESS * vectors[: len(chosen)] @ vectors[len(chosen) :].T
        own = torch.arange(len(chosen))
        loss = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rates.step()
        total += loss.item() / 50
        if step % 50 == 0:
            print(f"text {step}: {total:.3f}, {time.process_time() - begin:.0f} s", flush=True)
            total = 0.0
    return tower.eval()


def images_of(root: Path) -> Iterator[tuple[Any, str]]:
    """Yield training images and labels, some of each kind of words."""
    prepare = LabelPreparation(CHARSET_36, max_length=None, strict=False)
    for kind, every in KINDS.items():
        for path in find_lmdbs(root / "train" / kind):
            words = LmdbWords(path, prepare_label=prepare)
            for index in range(0, len(words), every):
                try:
                    image, label = words.read(index)
                except UnreadableRecord:
                    continue
                if label and image.height < 1.5 * image.width:
                    yield image, label


@torch.inference_mode()
def prepared(path: Path, root: Path, teacher: Any) -> dict[str, Any]:
    """Return images (N, 3, 32, 128) in 8 bits, what the teacher makes of them, patches before its
    blocks and tokens after them, (N, 32, D) in 16 bits, and labels; computed once.
    """
    if not path.exists():
        transform = SceneTextDataModule.get_transform(teacher.hparams.img_size)
        encoder = teacher.model.encoder
        found: dict[str, list[Tensor]] = {"images": [], "patches": [], "tokens": []}
        labels: list[str] = []
        waiting: list[Tensor] = []
        for image, label in images_of(root):
            waiting.append(transform(image))
            labels.append(label)
            if len(waiting) == BATCH:
                images = torch.stack(waiting)
                patches = encoder.patch_embed(images) + encoder.pos_embed
                tokens = encoder.norm(encoder.through(encoder.blocks, patches))
                found["images"].append(((images + 1) * 127.5).round().byte())
                found["patches"].append(patches.half())
                found["tokens"].append(tokens.half())
                waiting = []
        whole = {name: torch.cat(parts) for name, parts in found.items()}
        torch.save({**whole, "labels": labels[: len(whole["images"])]}, path)
    loaded: dict[str, Any] = torch.load(path, weights_only=True, mmap=True)
    print(f"{len(loaded['labels'])} images", flush=True)
    return loaded


def new_tower(teacher: Any, data: dict[str, Any]) -> ClipImageTower:
    """Return an image tower with what it can have of the teacher's encoder.

    CLIP's images have another mean and deviation: the first convolution makes up for it. Its
    convolution to patches has no bias: positions have it.
    """
    encoder, stem = teacher.model.encoder, teacher.hparams.enc_stem
    tower = ClipImageTower(
        img_size=(32, 128), patch_size=(32, 4), embed_dim=WIDTH, depth=4, num_heads=5,
        output_dim=WIDTH, stem=stem,
    )  # fmt: skip
    tower.patch_embed.load_state_dict(encoder.patch_embed.state_dict(), strict=False)
    tower.blocks.load_state_dict(encoder.blocks.state_dict())
    tower.norm.load_state_dict(encoder.norm.state_dict())
    patches = data["patches"][::10].float().flatten(0, 1)
    with torch.no_grad():
        tower.pos_embed.zero_()
        tower.pos_embed[:, 1:] = encoder.pos_embed + encoder.patch_embed.proj.bias
        tower.norm_pre.weight.copy_(patches.std(0))
        tower.norm_pre.bias.copy_(patches.mean(0))
        tower.cls_token.normal_(std=0.02)
        torch.nn.init.eye_(tower.projection.weight)
    return tower


def adapt_colors(tower: ClipImageTower) -> None:
    """Let a tower that takes images from -1 to 1 take them as CLIP does."""
    mean, std = (torch.tensor(values) for values in NORMALIZATIONS["clip"])
    first, norm = tower.patch_embed.stem[0], tower.patch_embed.stem[1]
    with torch.no_grad():  # x = 2 (s y + m) - 1 for y as CLIP sees it
        shift = (first.weight.sum((2, 3)) * (2 * mean - 1)).sum(1)
        first.weight.mul_((2 * std).view(1, 3, 1, 1))
        norm.running_mean.sub_(shift)


def train_images(
    text: ClipTextTower, tower: ClipImageTower, data: dict[str, Any], steps: int
) -> None:
    """Teach a tower that its tokens are the teacher's and its class token is its word's. The
    convolutions stay as they are.
    """
    words = list(dict.fromkeys(plain(label) for label in data["labels"]))
    with torch.inference_mode():
        tokenizer = ClipTokenizer(())
        parts = [words[at : at + 512] for at in range(0, len(words), 512)]
        pointed_at = torch.cat([text(*tokenizer(part, TEXT["context_length"])) for part in parts])
    pointed_at = F.normalize(pointed_at.clone(), dim=-1)
    row = {word: number for number, word in enumerate(words)}
    rows = torch.tensor([row[plain(label)] for label in data["labels"]])
    learned = [one for name, one in tower.named_parameters() if "patch_embed" not in name]
    optimizer = torch.optim.AdamW(learned, lr=1e-3, weight_decay=0.01)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps)
    rng, own = torch.Generator().manual_seed(0), torch.arange(BATCH)
    positions = tower.pos_embed.detach()[:, 1:].clone()
    begin, totals = time.process_time(), [0.0, 0.0]
    for step in range(1, steps + 1):
        chosen = torch.randint(len(rows), (BATCH,), generator=rng)
        patches = data["patches"][chosen].float() - positions + tower.pos_embed[:, 1:]
        first = (tower.cls_token + tower.pos_embed[:, :1]).expand(BATCH, -1, -1)
        tokens = tower.norm_pre(torch.cat([first, patches], 1))
        tokens = tower.projection(tower.norm(tower.through(tower.blocks, tokens)))
        similar = F.mse_loss(tokens[:, 1:], data["tokens"][chosen].float())
        # As in CLIP: an image chooses among the batch's words, of which equal ones count once.
        logits = SHARPNESS * F.normalize(tokens[:, 0], dim=-1) @ pointed_at[rows[chosen]].T
        same = rows[chosen][:, None] == rows[chosen][None]
        same.fill_diagonal_(False)
        pointed = F.cross_entropy(logits.masked_fill(same, -torch.inf), own)
        optimizer.zero_grad()
        (similar + POINTING * pointed).backward()
        optimizer.step()
        rates.step()
        totals = [
            total + one.item() / 20 for total, one in zip(totals, (similar, pointed), strict=True)
        ]
        if step % 20 == 0:
            spent = time.process_time() - begin
            print(f"images {step}: {totals[0]:.4f} {totals[1]:.3f}, {spent:.0f} s", flush=True)
            totals = [0.0, 0.0]


def write_starts(folder: Path, teacher: Any, tower: ClipImageTower, text: ClipTextTower) -> None:
    """Write the checkpoints that studies begin with: with the first branch, and with a second that
    begins as a copy of it.
    """
    reader = {name: value for name, value in teacher.model.state_dict().items()
              if not name.startswith("encoder.")}  # fmt: skip
    state = {f"model.{name}": value for name, value in reader.items()}
    state |= {f"model.encoder.{name}": value for name, value in tower.state_dict().items()}
    hparams = {**dict(teacher.hparams), "name": "clip-small", "encoder": "clip",
               "enc_embed_dim": WIDTH, "enc_activation": "quick_gelu", "normalize": "clip",
               "pretrained_encoder": None, "ctc_weight": 0.0}  # fmt: skip
    for name in ("temperature", "reread_correction", "finetune"):
        hparams.pop(name, None)
    cross = {f"model.cross.{name}": value for name, value in reader.items()}
    cross |= {f"model.cross.text_tower.{name}": value for name, value in text.state_dict().items()}
    more = {"cross_modal": True, "text_embed_dim": TEXT["embed_dim"], "text_depth": TEXT["depth"],
            "text_vocab_size": TEXT["vocab_size"]}  # fmt: skip
    for name, weights, options in (("vit", state, {}), ("vit-cross", {**state, **cross}, more)):
        whole = {"state_dict": {key: value.clone() for key, value in weights.items()},
                 "hyper_parameters": {**hparams, **options},
                 "pytorch-lightning_version": lightning}  # fmt: skip
        torch.save(whole, folder / f"{name}.ckpt")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data_root", type=Path, default=Path("data"))
    parser.add_argument("--text_steps", type=int, default=150)
    parser.add_argument("--steps", type=int, default=250, help="of 64 images")
    return parser.parse_args()


def main() -> None:
    args = parse()
    args.folder.mkdir(parents=True, exist_ok=True)
    teacher, path = strhub.load(TEACHER).eval(), args.folder / "text.pt"
    if not path.exists():
        words = sorted({plain(label) for label in labels_of(args.data_root)} - {"", *LETTERS})
        print(f"{len(words)} words", flush=True)
        torch.save(train_text(words, args.text_steps).state_dict(), path)
        write_whole(args.folder / "vocabulary.txt", "\n".join(words))
    text = ClipTextTower(**TEXT).eval()
    text.load_state_dict(torch.load(path, weights_only=True))
    data = prepared(args.folder / "images.pt", args.data_root, teacher)
    torch.manual_seed(1)
    tower = new_tower(teacher, data)
    save_file(published_state(tower.state_dict(), text.state_dict()),
              args.folder / "clip.safetensors")  # fmt: skip
    train_images(text, tower, data, args.steps)
    adapt_colors(tower)
    save_file(published_state(tower.state_dict(), text.state_dict()),
              args.folder / "clip.safetensors")  # fmt: skip
    write_starts(args.folder, teacher, tower, text)


if __name__ == "__main__":
    main()
