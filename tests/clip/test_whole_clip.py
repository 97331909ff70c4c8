"""CLIP ViT-B/32 in its published layout and size, with random weights: everything a user does with
the real file.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clip_support import run_program
from omegaconf import OmegaConf
from onnxruntime import InferenceSession
from safetensors.torch import save_file
from torch import Tensor

from strhub import Recognizer, load
from strhub.clip.weights import read_clip

ROOT = Path(__file__).parent.parent.parent
PARAMETERS = 151_277_313  # of CLIP ViT-B/32, all of it

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def transformer(prefix: str, width: int, layers: int) -> dict[str, tuple[int, ...]]:
    """The names and shapes of a tower's blocks."""
    block = {
        "attn.in_proj_weight": (3 * width, width), "attn.in_proj_bias": (3 * width,),
        "attn.out_proj.weight": (width, width), "attn.out_proj.bias": (width,),
        "ln_1.weight": (width,), "ln_1.bias": (width,),
        "mlp.c_fc.weight": (4 * width, width), "mlp.c_fc.bias": (4 * width,),
        "mlp.c_proj.weight": (width, 4 * width), "mlp.c_proj.bias": (width,),
        "ln_2.weight": (width,), "ln_2.bias": (width,),
    }  # fmt: skip
    return {
        f"{prefix}transformer.resblocks.{number}.{name}": shape
        for number in range(layers)
        for name, shape in block.items()
    }


def published_shapes() -> dict[str, tuple[int, ...]]:
    """The names and shapes of CLIP ViT-B/32 (Radford et al. 2021, tables 19 and 20)."""
    visual = {
        "class_embedding": (768,), "positional_embedding": (50, 768), "proj": (768, 512),
        "conv1.weight": (768, 3, 32, 32), "ln_pre.weight": (768,), "ln_pre.bias": (768,),
        "ln_post.weight": (768,), "ln_post.bias": (768,),
    }  # fmt: skip
    return {
        "positional_embedding": (77, 512), "text_projection": (512, 512), "logit_scale": (),
        "token_embedding.weight": (49408, 512), "ln_final.weight": (512,), "ln_final.bias": (512,),
        **{f"visual.{name}": shape for name, shape in visual.items()},
        **transformer("visual.", 768, 12), **transformer("", 512, 12),
    }  # fmt: skip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Random weights of usual sizes, in half precision, as the published ones are. Two gigabytes
    lie beside them in the end, which are removed.
    """
    shapes, rng = published_shapes(), torch.Generator().manual_seed(0)
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == PARAMETERS

    def fill(name: str, shape: tuple[int, ...]) -> Tensor:
        if re.search(r"ln_\w+\.weight", name):
            return torch.ones(shape)
        if name == "logit_scale":
            return torch.tensor(4.6052)
        if name.endswith("bias"):
            return torch.zeros(shape)
        return torch.randn(shape, generator=rng) * 0.02

    path = tmp_path_factory.mktemp("whole") / "ViT-B-32.safetensors"
    save_file({name: fill(name, shape).half() for name, shape in shapes.items()}, path)
    yield path
    shutil.rmtree(path.parent)


@pytest.fixture(scope="module")
def merges(clip: Path) -> Path:
    """A table of as many pairs as the published one has, of letters and digits alone."""
    characters = "abcdefghijklmnopqrstuvwxyz0123456789"
    two = [one + other for one, other in product(characters, repeat=2)]
    pairs = [" ".join(pair) for pair in two]
    pairs += [f"{pair} {character}" for pair, character in product(two, characters)]
    pairs += [f"{one} {other}</w>" for one, other in two]
    path = clip.with_name("bpe_simple_vocab_16e6.txt.gz")
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write("\n".join(["a table", *pairs[: 49408 - 2 * 256 - 2]]) + "\n")
    return path


@pytest.fixture(scope="module")
def run(clip: Path, merges: Path) -> Path:
    """Two steps with a frozen tower, two with a learning one, the contrastive objective and the
    second branch.
    """
    folder = clip.parent / "run"
    run_program(
        "train.py", "+experiment=parseq-clip-b32", f"pretrained_encoder={clip}",
        "finetune.freeze_encoder=2", "model.cross_modal=true", "model.contrastive.weight=0.1",
        f"model.contrastive.text_weights={clip}", f"model.contrastive.merges={merges}",
        "model.contrastive.own_errors=true",
        "model.batch_size=4", "dataset=rendered", "data.render.words=16", "data.num_workers=0",
        "trainer.max_epochs=1", "trainer.limit_val_batches=0", "trainer.accelerator=cpu",
        "logger=csv", "+trainer.enable_progress_bar=false", "callbacks.best=null",
        "callbacks.rate=null", "averaging=none", "trainer.log_every_n_steps=1",
        f"hydra.run.dir={folder}",
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def checkpoint(run: Path) -> Path:
    return run / "checkpoints" / "last.ckpt"


def test_the_tower_begins_as_the_file_and_learns_slowly(
    run: Path, clip: Path, checkpoint: Path
) -> None:
    with (run / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row.get("contrastive_loss")]
    assert len(rows) == 4
    assert all(float(row["loss"]) > float(row["contrastive_loss"]) > 0 for row in rows)
    model = load(checkpoint)
    assert model.hparams["normalize"] == "clip"
    assert list(model.hparams["img_size"]) == [224, 224]
    published = read_clip(clip).image_state((7, 7))
    tower = model.model.encoder.state_dict()
    assert sum(tensor.numel() for tensor in tower.values()) > 86e6
    moved = [(tower[name] - tensor).abs().max().item() for name, tensor in published.items()]
    assert 0 < max(moved) < 1e-3, "two steps at a small rate"


def test_it_reads_and_is_searched(checkpoint: Path) -> None:
    images = [ROOT / "demo_images" / f"0{number}.png" for number in (1, 2)]
    ways: list[dict[str, Any]] = [{}, {"decode_ar": False, "refine_iters": 2}, {"top_k": 3}]
    for options in ways:
        readings = Recognizer(checkpoint, device="cpu", reread_below=0, **options)(images)
        assert [reading.error for reading in readings] == [None, None]
        assert all(0 <= reading.confidence <= 1 for reading in readings)


def test_it_is_evaluated_and_measured(checkpoint: Path, word_tree: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in (word_tree / "test").iterdir())[:1]
    printed = run_program(
        "test.py", checkpoint, "--data_root", word_tree, "--sets", *names, "--num_workers", "0",
        "--device", "cpu",
    )  # fmt: skip
    assert names[0] in printed
    run_program(
        "bench.py", f"pretrained={checkpoint}", "repeats=2", "warm_up=1", "device=cpu",
        f"json={tmp_path / 'figures.json'}",
    )  # fmt: skip
    assert json.loads((tmp_path / "figures.json").read_text("utf-8"))


@pytest.mark.parametrize(
    "options", [(), ("decode_ar:bool=false", "refine_iters:int=2")], ids=["AR", "NAR"]
)
def test_exported_with_both_branches_it_computes_the_same(
    checkpoint: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    path = tmp_path / "clip.onnx"
    run_program("export.py", checkpoint, path, *options)
    ours: dict[str, Any] = {} if not options else {"decode_ar": False, "refine_iters": 2}
    images = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        expected = load(checkpoint, **ours).eval()(images)
    session = InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    assert found.shape == tuple(expected.shape)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    path.unlink()


def test_its_learning_rate_is_searched(clip: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra tune is not installed")
    folder = tmp_path / "search"
    run_program(
        "tune.py", "+experiment=parseq-clip-b32", f"pretrained_encoder={clip}",
        "tune.num_samples=2", "tune.max_steps=1", "tune.reports=1",
        "tune.resources_per_trial.cpu=2", "model.batch_size=2", "dataset=rendered",
        "data.render.words=4", "data.render.validation=2", "data.num_workers=0",
        "trainer.accelerator=cpu", "callbacks.summary=null", "finetune.freeze_encoder=true",
        f"hydra.run.dir={folder}",
    )  # fmt: skip
    best = OmegaConf.load(folder / "experiment" / "best.yaml")
    assert 1e-4 <= best.model.lr <= 2e-3
