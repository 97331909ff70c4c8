"""What holds for every architecture: a step lowers the loss, files give the same model, half
precision is finite.
"""

from functools import partialmethod
from pathlib import Path

import pytest
import torch
from tiny_models import LABELS, TRAININGS, Training, inputs, tiny_system
from torch import Tensor, nn
from torch._dynamo.utils import counters

from strhub import load, save
from strhub.checkpoint.scene_text_model import architectures
from strhub.configs import CONFIG_DIR
from strhub.training.systems.base import System

# Losses are logged by name; here nothing listens.
pytestmark = [pytest.mark.numeric, pytest.mark.filterwarnings("ignore:You are trying to `self.log")]
every_training = pytest.mark.parametrize("training", TRAININGS, ids=str)
every_model = pytest.mark.parametrize(
    "training",
    [training for training in TRAININGS if not training.joint and "-lm" not in training.experiment],
    ids=str,
)


def loss_and_gradients(
    system: System, training: Training
) -> tuple[Tensor, dict[str, Tensor | None]]:
    system.zero_grad()
    loss = system.training_loss(inputs(training), LABELS)
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in system.named_parameters() if p.requires_grad}


def test_none_is_left_out() -> None:
    tested = {tiny_system(training).architecture for training in TRAININGS}
    assert (
        tested
        == set(architectures())
        == {path.stem for path in (CONFIG_DIR / "model").glob("*.yaml")}
    )


@every_training
def test_a_step_lowers_the_loss(training: Training) -> None:
    system = tiny_system(training)
    before, gradients = loss_and_gradients(system, training)
    length = sum(
        float(gradient.square().sum()) for gradient in gradients.values() if gradient is not None
    )
    # so far down the slope as would take a hundredth of the loss, were it a plane
    with torch.no_grad():
        for name, parameter in system.named_parameters():
            if (gradient := gradients.get(name)) is not None:
                parameter -= 0.01 * before / length * gradient
        after = system.training_loss(inputs(training), LABELS)
    assert 0.98 * before < after < 0.995 * before


@every_training
def test_every_parameter_that_learns_has_a_gradient(training: Training) -> None:
    """So that several devices need not search for unused ones."""
    _, gradients = loss_and_gradients(tiny_system(training), training)
    assert [name for name, gradient in gradients.items() if gradient is None] == []


@every_training
def test_half_precision_is_near_and_finite(training: Training) -> None:
    system = tiny_system(training)
    expected, _ = loss_and_gradients(system, training)
    with torch.autocast("cpu", torch.bfloat16):
        loss, gradients = loss_and_gradients(system, training)
    assert loss == pytest.approx(expected.item(), rel=0.03)
    assert all(gradient is None or gradient.isfinite().all() for gradient in gradients.values())


@every_model
@pytest.mark.parametrize("kind", ["safetensors", "ckpt"])
def test_what_is_saved_loads_exactly(training: Training, kind: str, tmp_path: Path) -> None:
    """Also the statistics of norms, which training has moved."""
    system = tiny_system(training)
    loss_and_gradients(system, training)
    path = tmp_path / f"model.{kind}"
    if kind == "safetensors":
        save(system, path)
    else:
        torch.save(
            {"state_dict": system.state_dict(), "hyper_parameters": dict(system.hparams)}, path
        )
    loaded = load(path).eval()
    images = inputs(training)
    with torch.inference_mode():
        logits, again = system.eval()(images), loaded(images)
    assert torch.equal(logits, again)
    assert len(logits.unique()) > 100, "logits that are all the same show nothing"
    assert (
        loaded.tokenizer.decode(logits.softmax(-1))[0]
        == system.tokenizer.decode(logits.softmax(-1))[0]
    )
    assert {name: system.hparams[name] for name in loaded.hparams} == dict(loaded.hparams)


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor that is not a leaf"
)  # the tracer's own looking
@pytest.mark.parametrize(
    "training",
    [
        one
        for one in TRAININGS
        if str(one) in ("parseq", "crnn", "trba", "abinet-joint", "svtr-tiny")
    ],
    ids=str,
)
def test_a_compiled_network_learns_the_same(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traced and run operation by operation, so that no code has to be generated here."""
    system = tiny_system(training)
    expected, gradients = loss_and_gradients(system, training)
    torch.compiler.reset()
    compiled_by = partialmethod(nn.Module.compile, backend="eager")
    monkeypatch.setattr(nn.Module, "compile", compiled_by)
    monkeypatch.setattr("strhub.utils.compiling.vector_options", dict)  # Inductor's alone
    system = tiny_system(training)
    system.compile_network()
    counters.clear()
    loss, compiled = loss_and_gradients(system, training)
    assert counters["frames"]["ok"] > 0, "what is compiled has no part in training"
    torch.testing.assert_close(loss, expected)
    for name, gradient in gradients.items():
        torch.testing.assert_close(compiled[name], gradient, rtol=1e-3, atol=1e-5)
