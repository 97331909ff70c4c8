"""ABINet's training on the real, composed configuration: phases, resuming, the language model
alone.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.callbacks import Callback
from tests_support import PowerCut
from torch import Tensor

from strhub.data.sources.lmdb import write_lmdb
from strhub.data.synth import RenderedWords
from strhub.text import CHARSET_36
from strhub.training.run import train

SMALL = (
    "model.d_model=32",
    "model.nhead=2",
    "model.d_inner=64",
    "model.v_num_layers=1",
    "model.l_num_layers=1",
    "model.iter_size=2",
    "model.img_size=[16,32]",
    "model.max_label_length=8",
    "model.batch_size=4",
)
QUICK = (
    "dataset=rendered",
    "data.num_workers=0",
    "data.render.difficulty=0",
    "logger=csv",
    "callbacks.summary=null",
    "+trainer.enable_progress_bar=false",
    "trainer.accelerator=cpu",
    "trainer.devices=1",
    "callbacks.rate=null",
    "+trainer.num_sanity_val_steps=0",
    "callbacks.last.every_n_steps=1",
    "trainer.log_every_n_steps=1",
)
NO_VALIDATION = ("trainer.limit_val_batches=0", "callbacks.best=null")
# 18 steps, so that vision, language and fusion learn together from step 8 on.
WHOLE = (
    *QUICK,
    *NO_VALIDATION,
    "+experiment=abinet",
    "data.render.words=24",
    "trainer.max_epochs=3",
    "data.render.style=simple",
)
LAST = "checkpoints/last.ckpt"


def saved(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(run / LAST, weights_only=True)
    return content


def stop_after(steps: int) -> list[str]:
    """A run that is saved after so many steps and stops then."""
    stop = ["+callbacks.stop._target_=tests_support.StopAfter", f"+callbacks.stop.step={steps}"]
    return [f"callbacks.last.every_n_steps={steps}", *stop]


@pytest.fixture(scope="module")
def uninterrupted() -> dict[int, dict[str, Any]]:
    """Checkpoints of whole runs by their batches a step, each made once."""
    return {}


# At the change (saved before the fusion is made anew), before it, just after it, and late, when
# weights are averaged.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("stop_at", "accumulate"),
    [
        (8, 1),
        (3, 1),
        (9, 1),
        (16, 1),
        (8, 2),
    ],
)
def test_a_stopped_run_goes_on_as_if_it_had_not_been(
    compose_main: Any, tmp_path: Path, uninterrupted: dict[int, Any], stop_at: int, accumulate: int
) -> None:
    whole, part, rest = (tmp_path / name for name in ("whole", "part", "rest"))
    run = [
        *WHOLE,
        f"trainer.accumulate_grad_batches={accumulate}",
        f"data.render.words={24 * accumulate}",
    ]
    run += ["callbacks.averaging.every_n_steps=1", "callbacks.last.every_n_steps=null"]
    if accumulate not in uninterrupted:
        train(compose_main(*run, f"output_dir={whole}", small=SMALL))
        uninterrupted[accumulate] = saved(whole)
    expected = uninterrupted[accumulate]
    with pytest.raises(PowerCut):
        train(compose_main(*run, f"output_dir={part}", *stop_after(stop_at), small=SMALL))
    stopped = saved(part)
    assert stopped["global_step"] == stop_at
    assert stopped["abinet_phase"] == {"joint": stop_at > 8, "joint_from": 8}
    train(compose_main(*run, f"output_dir={rest}", f"ckpt_path={part / LAST}", small=SMALL))
    found = saved(rest)
    assert found["global_step"] == expected["global_step"] == 18
    for part_of_state in ("state_dict", "current_model_state"):
        for name, tensor in expected[part_of_state].items():
            assert torch.equal(tensor, found[part_of_state][name]), name
    rates = [
        [group["lr"] for group in state["optimizer_states"][0]["param_groups"]]
        for state in (expected, found)
    ]
    assert rates[0] == rates[1]


class Poisoned(Callback):
    """Spoil the gradients of three steps; keep the phase and the fusion's weights after each."""

    after: dict[int, tuple[bool, Tensor]]

    def __init__(self, first: int) -> None:
        self.steps = range(first, first + 3)
        Poisoned.after = {}

    def on_after_backward(self, trainer: Any, pl_module: Any) -> None:
        if trainer.global_step in self.steps:
            pl_module.model.alignment.w_att.weight.grad.fill_(float("nan"))

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        fusion = pl_module.model.alignment.w_att.weight.detach().clone()
        Poisoned.after[trainer.global_step] = pl_module.joint, fusion


def test_going_back_across_the_change_goes_back_to_the_phase(compose_main: Any) -> None:
    """All learn together from step 6 on; three bad ones take the run back to step 5."""
    run = [
        "trainer.max_epochs=2",
        "averaging=none",
        "callbacks.last.every_n_steps=5",
        "callbacks.guard.patience=3",
        "+callbacks.bad._target_=test_abinet_training.Poisoned",
        "+callbacks.bad.first=7",
    ]
    train(compose_main(*WHOLE, *run, small=SMALL))
    phases = {step: joint for step, (joint, _) in Poisoned.after.items()}
    assert phases == {step: step not in (1, 2, 3, 4, 5, 6, 10) for step in range(1, 13)}
    weights = {step: fusion for step, (_, fusion) in Poisoned.after.items()}
    assert torch.equal(weights[10], weights[5])
    assert (weights[11] - weights[10]).abs().max() > 0.02, "made anew, as at the first change"
    assert (weights[12] - weights[11]).abs().max() < 0.01


def test_the_phases_train_what_they_should(compose_main: Any, tmp_path: Path) -> None:
    """The fusion is made anew at the change and nothing else is; both rates rise and fall
    together.
    """
    weights = {}
    for steps in (8, 9):
        run = tmp_path / str(steps)
        with pytest.raises(PowerCut):
            train(
                compose_main(
                    *WHOLE, "averaging=none", f"output_dir={run}", *stop_after(steps), small=SMALL
                )
            )
        weights[steps] = saved(run)["state_dict"]
    change = {
        name: (weights[9][name] - tensor).abs().max().item() for name, tensor in weights[8].items()
    }
    assert change["model.alignment.w_att.weight"] > 0.02
    assert 0 < change["model.vision.cls.weight"] < 1e-3
    assert 0 < change["model.language.cls.weight"] < 1e-3
    others, language = saved(tmp_path / "9")["optimizer_states"][0]["param_groups"]
    assert language["lr"] / others["lr"] == pytest.approx(3 / 3.4)


@pytest.mark.parametrize(("fraction", "joint_from"), [(0, 0), (1, 6)])
def test_either_phase_may_be_left_out(
    compose_main: Any, tmp_path: Path, fraction: int, joint_from: int
) -> None:
    train(
        compose_main(*WHOLE, "trainer.max_epochs=1", f"model.pretrain_pct={fraction}", small=SMALL)
    )
    assert saved(tmp_path / "run")["abinet_phase"] == {
        "joint": fraction == 0,
        "joint_from": joint_from,
    }


def test_muon_trains_it_if_there_is_one_rate(compose_main: Any, tmp_path: Path) -> None:
    train(
        compose_main(
            *WHOLE, "trainer.max_epochs=1", "optimizer=muon", "model.l_lr=${model.lr}", small=SMALL
        )
    )
    assert saved(tmp_path / "run")["global_step"] == 6


@pytest.mark.slow
def test_the_language_model_learns_from_a_word_list(compose_main: Any, tmp_path: Path) -> None:
    """Alone, from text; then a whole model begins with it."""
    words = tmp_path / "words.txt"
    words.write_text("\n".join(["reading", "Writing", "signs", "letter"] * 100), encoding="utf-8")
    run = tmp_path / "run"
    language = [*QUICK, "+experiment=tune_abinet-lm", f"data.words={words}", "averaging=none"]
    language += [
        "model.batch_size=16",
        "model.lr=0.16",
        "model.dropout=0",
        "trainer.check_val_every_n_epoch=8",
    ]
    metrics = train(compose_main(*language, "trainer.max_epochs=8", small=SMALL))
    assert metrics["val_accuracy"] == 100, "each word is told from any one letter left out"
    learned = saved(run)["state_dict"]

    start = [*WHOLE, f"model.language_weights={run / LAST}", "averaging=none"]
    with pytest.raises(PowerCut):
        train(
            compose_main(
                *start,
                *stop_after(1),
                "trainer.max_epochs=1000",
                f"output_dir={tmp_path / 'start'}",
                small=SMALL,
            )
        )
    begun = saved(tmp_path / "start")["state_dict"]
    for name, tensor in learned.items():
        if name.startswith("model.language."):
            torch.testing.assert_close(
                begun[name], tensor, rtol=0, atol=1e-4
            )  # but for one small step

    words.unlink()
    resume = [
        *start,
        f"ckpt_path={tmp_path / 'start' / LAST}",
        "trainer.max_epochs=1",
        f"output_dir={tmp_path / 'on'}",
    ]
    (run / LAST).unlink()  # no more needed
    train(compose_main(*resume, small=SMALL))
    assert saved(tmp_path / "on")["global_step"] == 6


def test_a_language_model_of_another_charset_is_refused(compose_main: Any, tmp_path: Path) -> None:
    run = [
        *QUICK,
        *NO_VALIDATION,
        "+experiment=tune_abinet-lm",
        "data.render.words=8",
        "charset=36_lowercase",
    ]
    train(compose_main(*run, "trainer.max_epochs=1", small=SMALL))
    start = [
        *WHOLE,
        f"model.language_weights={tmp_path / 'run' / LAST}",
        f"output_dir={tmp_path / 'start'}",
    ]
    with pytest.raises(ValueError, match=r"language_weights: .* knows the charset '0123456789abc"):
        train(compose_main(*start, small=SMALL))


@pytest.mark.slow
def test_learns_64_rendered_words_by_heart(compose_main: Any, tmp_path: Path) -> None:
    words = RenderedWords(charset=CHARSET_36, max_length=6, seed=0, difficulty=0.0, style="simple")
    samples = [words.render(index) for index in range(64)]
    for part in (
        "train/real/drawn",
        "val/drawn",
    ):  # the same words: training accuracy is what is asked for
        (tmp_path / part).parent.mkdir(parents=True)
        write_lmdb(tmp_path / part, samples)
    config = compose_main(
        *QUICK, "+experiment=abinet", "dataset=real", "data.render.words=0",
        f"data.root_dir={tmp_path}",
            "averaging=none",
        "charset=36_lowercase", "data.augment=false", "model.img_size=[16,64]", "model.d_model=64",
        "model.d_inner=128", "model.max_label_length=6", "model.batch_size=16", "model.lr=0.16",
        "model.l_lr=0.16", "model.dropout=0", "optimizer=muon", "trainer.max_epochs=100",
        "trainer.check_val_every_n_epoch=100", "callbacks.last=null", "callbacks.best=null",
        small=SMALL,
    )  # fmt: skip
    assert train(config)["val_accuracy"] >= 95
