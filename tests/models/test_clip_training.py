"""Training CLIP-PARSeq: what is frozen stays, what is saved, what a stopped run goes on with."""

from pathlib import Path
from typing import Any

import pytest
import torch
from clip_support import small_clip
from pytorch_lightning.callbacks import Callback
from small_runs import Compose
from tests_support import PowerCut
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from strhub import load
from strhub.training.run import model_from_config, train

QUICK = (
    "model.encoder=clip_vit_b32", "data.normalize=clip", "model.img_size=[32,32]",
        "model.perm_num=2",
    "dataset=rendered", "data.num_workers=0", "data.render.difficulty=0", "data.render.words=24",
    "data.augment=false", "model.batch_size=4", "model.max_label_length=8", "trainer.max_epochs=1",
    "trainer.limit_val_batches=0", "trainer.accelerator=cpu", "trainer.devices=1", "logger=csv",
    "+trainer.enable_progress_bar=false", "callbacks.summary=null", "callbacks.best=null",
    "callbacks.rate=null", "averaging=none", "trainer.log_every_n_steps=1",
    "model.weight_decay=0.1", "optimizer=adamw",
    "+callbacks.recorder._target_=test_clip_training.Recorder",
)  # fmt: skip
EVERYTHING = (
    "model.contrastive.weight=0.5",
    "model.contrastive.warmup_steps=4",
    "model.contrastive.nearest=2",
    "model.contrastive.own_errors=true",
    "model.contrastive.adapter=8",
    "model.contrastive.refresh_every=2",
)
State = dict[str, Tensor]


class Recorder(Callback):
    """Keeps all numbers before the first step and after each, and what of the encoder has
    gradients.
    """

    states: list[State]
    learning: list[bool]
    system: Any

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        Recorder.states, Recorder.learning, Recorder.system = [self.state(pl_module)], [], pl_module

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *arguments: Any) -> None:
        Recorder.states.append(self.state(pl_module))
        encoder = pl_module.model.encoder
        flags = {parameter.requires_grad for parameter in encoder.parameters()} | {
            encoder.blocks[0].training
        }
        assert len(flags) == 1, "evaluation mode and no gradients go together"
        Recorder.learning.append(flags.pop())

    @staticmethod
    def state(system: Any) -> State:
        return {name: tensor.detach().clone() for name, tensor in system.state_dict().items()}


def moved(before: State, after: State) -> set[str]:
    """The parts that differ."""
    names = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    return {".".join(name.split(".")[:2]) for name in names}


def test_frozen_and_then_learning_and_nothing_of_the_text_side_is_kept(
    compose_main: Compose, tmp_path: Path
) -> None:
    path = small_clip(tmp_path)
    config = compose_main(
        *QUICK,
        *EVERYTHING,
        f"pretrained_encoder={path}",
        "finetune.freeze_encoder=2",
        "trainer.max_steps=4",
        small=(),
    )
    train(config)
    states = Recorder.states
    assert Recorder.learning == [False, False, True, True]
    assert "model.encoder" not in moved(states[0], states[2])
    assert {"model.decoder", "model.head", "contrastive.adapter", "contrastive.log_scale"} <= moved(
        states[0], states[2]
    )
    assert "model.encoder" in moved(states[2], states[3])
    # The text tower is what it was in the file, bit for bit, and in no checkpoint.
    side = Recorder.system.text_side
    from strhub.clip.weights import read_clip

    tower = side.features.tower.state_dict()
    assert all(torch.equal(tensor, tower[name]) for name, tensor in read_clip(path).text.items())
    (checkpoint,) = (tmp_path / "run").rglob("last.ckpt")
    saved = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert {name.partition(".")[0] for name in saved} == {"model", "contrastive"}
    assert not [name for name in saved if "token_embedding" in name]
    # Reading is the same without all of it.
    model = load(checkpoint).eval()
    assert all(
        name.startswith(("encoder", "decoder", "head", "text_embed", "pos_"))
        for name in model.model.state_dict()
    )
    inputs = torch.rand(3, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(model(inputs), Recorder.system.eval().cpu()(inputs))


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [2, 5])
def test_a_stopped_run_goes_on_bit_for_bit(
    compose_main: Compose, tmp_path: Path, stop_at: int
) -> None:
    schedule = [
        "finetune.freeze_encoder=2",
        "finetune.unfreeze_every=1",
        "finetune.layer_decay=0.7",
        "finetune.decoder_rate=19",
        "finetune.decay_weights_only=true",
    ]
    common = [*QUICK[:-1], *EVERYTHING, *schedule, f"pretrained_encoder={small_clip(tmp_path)}"]
    recorder = "+callbacks.recorder._target_=test_clip_training.Lenient"
    last = ["callbacks.last.every_n_steps=1", f"callbacks.last.dirpath={tmp_path / 'part'}"]
    stop = ["+callbacks.stop._target_=tests_support.StopAfter", f"+callbacks.stop.step={stop_at}"]
    train(compose_main(*common, recorder, f"output_dir={tmp_path / 'whole'}", small=()))
    whole = Recorder.states
    with pytest.raises(PowerCut):
        train(
            compose_main(*common, recorder, *last, *stop, f"output_dir={tmp_path / 'a'}", small=())
        )
    train(
        compose_main(
            *common,
            recorder,
            f"output_dir={tmp_path / 'b'}",
            f"ckpt_path={tmp_path / 'part/last.ckpt'}",
            small=(),
        )
    )
    assert len(Recorder.states) == 7 - stop_at
    for expected, state in zip(whole[stop_at:], Recorder.states, strict=True):
        for name, tensor in expected.items():
            assert torch.equal(tensor, state[name]), name


class Lenient(Recorder):
    """Where layers are let loose one by one."""

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *arguments: Any) -> None:
        Recorder.states.append(self.state(pl_module))


def test_a_frozen_encoder_costs_no_memory_and_less_time(
    compose_main: Compose, tmp_path: Path
) -> None:
    config = compose_main(*QUICK[:-1], f"pretrained_encoder={small_clip(tmp_path)}", small=())
    system = model_from_config(config).train()
    images, labels = torch.rand(4, 3, 32, 32), ["one", "two", "three", "four"]

    def cost(learning: bool) -> tuple[int, int]:
        """Numbers that are kept for the backward pass, and floating-point operations of both."""
        for layer in system.encoder():
            layer.learn(learning)
        kept = 0

        def keep(tensor: Tensor) -> Tensor:
            nonlocal kept
            kept += tensor.numel()
            return tensor

        counter = FlopCounterMode(display=False)
        with counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            system.training_loss(images, labels).backward()
        system.zero_grad()
        return kept, counter.get_total_flops()

    frozen, learning = cost(False), cost(True)
    assert frozen[0] < 0.6 * learning[0]
    assert frozen[1] < 0.6 * learning[1]


@pytest.mark.parametrize(("freeze", "steps"), [("1 epoch", 6), ("2 epochs", 12)])
def test_epochs_are_counted_in_steps(freeze: str, steps: int) -> None:
    from strhub.training.fine_tuning import FineTuning

    options = FineTuning.from_options({"freeze_encoder": freeze})
    assert options.freezes
    assert options.in_steps(6).freeze_encoder == steps
    assert options.in_steps(6).frozen_layers(steps - 1, 3) == 3
    assert options.in_steps(6).frozen_layers(steps, 3) == 0
    with pytest.raises(ValueError, match="'2 epochs'"):
        FineTuning.from_options({"freeze_encoder": "two epochs"})


@pytest.mark.slow
def test_frozen_for_an_epoch(compose_main: Compose, tmp_path: Path) -> None:
    config = compose_main(
        *QUICK,
        f"pretrained_encoder={small_clip(tmp_path)}",
        "finetune.freeze_encoder='1 epoch'",
        "trainer.max_epochs=2",
        "data.render.words=8",
        small=(),
    )
    train(config)
    assert Recorder.learning == [False, False, True, True]
