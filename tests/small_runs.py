"""Options of runs so small that they take seconds."""

from collections.abc import Callable

from omegaconf import DictConfig

SMALL = (
    "model.embed_dim=32",
    "model.enc_num_heads=1",
    "model.dec_num_heads=2",
    "model.enc_depth=1",
    "model.patch_size=[16,16]",
    "model.batch_size=8",
    "model.max_label_length=12",
)
# Training on words rendered on the way, on a CPU, with each step's loss in metrics.csv and little
# else.
RENDERED_RUN = (
    "dataset=rendered",
    "data.num_workers=0",
    "data.render.difficulty=0",
    "trainer.log_every_n_steps=1",
    "logger=csv",
    "+trainer.enable_progress_bar=false",
    "trainer.accelerator=cpu",
    "callbacks.summary=null",
)

Compose = Callable[..., DictConfig]
"""What the fixture `compose_main` gives: overrides to the training configuration."""
