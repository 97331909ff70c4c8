"""CLIP's ViT-B/32 at its published sizes, with random weights: a user's way from its file to a
model that reads.
"""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from small_runs import Compose
from torch import Tensor

from strhub import Recognizer, load
from strhub.training.run import train

WIDTH, SHARED, DEPTH = 768, 512, 12


def published_state() -> dict[str, Tensor]:
    """The image tower's weights by their names in OpenAI's files."""
    generator = torch.Generator().manual_seed(0)

    def numbers(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) * 0.02

    state = {
        "visual.class_embedding": numbers(WIDTH),
        "visual.positional_embedding": numbers(50, WIDTH),
        "visual.proj": numbers(WIDTH, SHARED),
        "visual.conv1.weight": numbers(WIDTH, 3, 32, 32),
    }
    norms = ["visual.ln_pre", "visual.ln_post"]
    for number in range(DEPTH):
        block = f"visual.transformer.resblocks.{number}"
        norms += [f"{block}.ln_1", f"{block}.ln_2"]
        shapes = {
            "attn.in_proj_weight": (3 * WIDTH, WIDTH),
            "attn.in_proj_bias": (3 * WIDTH,),
            "attn.out_proj.weight": (WIDTH, WIDTH),
            "attn.out_proj.bias": (WIDTH,),
            "mlp.c_fc.weight": (4 * WIDTH, WIDTH),
            "mlp.c_fc.bias": (4 * WIDTH,),
            "mlp.c_proj.weight": (WIDTH, 4 * WIDTH),
            "mlp.c_proj.bias": (WIDTH,),
        }
        state |= {f"{block}.{name}": numbers(*shape) for name, shape in shapes.items()}
    for norm in norms:
        state |= {f"{norm}.weight": torch.ones(WIDTH), f"{norm}.bias": torch.zeros(WIDTH)}
    return state


@pytest.mark.slow
def test_it_is_frozen_then_learns_and_reads(compose_main: Compose, tmp_path: Path) -> None:
    state = published_state()
    save_file(state, tmp_path / "clip.safetensors")
    config = compose_main(
        "+experiment=parseq-clip-b32", f"pretrained_encoder={tmp_path / 'clip.safetensors'}",
        "finetune.freeze_encoder=1", "model.img_size=[64,128]", "model.lr=1e-3",
        "model.max_label_length=6", "dataset=rendered", "data.num_workers=0",
        "data.render.words=4", "data.render.difficulty=0", "model.batch_size=2",
        "data.augment=false", "trainer.max_epochs=1", "trainer.limit_val_batches=0", "logger=csv",
        "trainer.accelerator=cpu", "trainer.devices=1", "+trainer.enable_progress_bar=false",
        "callbacks.summary=null", "callbacks.best=null", "callbacks.rate=null", "averaging=none",
        "trainer.log_every_n_steps=1", "optimizer=adamw", small=(),
    )  # fmt: skip
    train(config)
    (checkpoint,) = (tmp_path / "run").rglob("last.ckpt")
    model = load(checkpoint)
    assert (model.hparams.normalize, list(model.hparams.img_size)) == ("clip", [64, 128])
    encoder = model.model.encoder
    assert encoder.pos_embed.shape == (1, 1 + 2 * 4, WIDTH)
    assert sum(one.numel() for one in encoder.parameters()) > 87_000_000
    own = encoder.blocks[11].mlp.fc2.weight
    before = state["visual.transformer.resblocks.11.mlp.c_proj.weight"]
    assert not torch.equal(own, before), "it learns in the second step"
    torch.testing.assert_close(own, before, atol=5e-3, rtol=0)
    (reading,) = Recognizer(checkpoint, device="cpu")(["demo_images/01.png"])
    assert reading.error is None
