"""ABINet gives the reference's numbers: names and shapes, logits, losses of both phases,
gradients.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_numbers import images, recorded, recorded_arrays, weight

from strhub.checkpoint.zoo import SceneTextModel, create_model, load_from_checkpoint
from strhub.models.abinet import Network
from strhub.training.systems.abinet import ABINet
from strhub.utils.options import keyword_names

pytestmark = pytest.mark.numeric

EXPERIMENTS = ["abinet", "abinet-sv"]


def published_name(name: str) -> str:
    return f"model.{name}"


def fill(network: Network) -> None:
    """The recorded weights: positions and counters are no weights."""
    state = network.state_dict()
    for name, tensor in state.items():
        if tensor.is_floating_point() and not name.endswith(".pe"):
            state[name] = weight(published_name(name), tuple(tensor.shape))
    network.load_state_dict(state)


@cache
def recorded_model(experiment: str) -> SceneTextModel:
    model = create_model(experiment).eval()
    fill(model.model)
    return model


@cache
def recorded_system() -> ABINet:
    """Without dropout and with norms as in reading, as the numbers were recorded."""
    system = ABINet(**{**create_model("abinet").hparams, "dropout": 0.0})
    system.model = recorded_model("abinet").model
    return system.eval()


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_parameters_and_hyper_parameters_are_the_published_ones(experiment: str) -> None:
    golden = recorded(f"{experiment}.json")
    model = recorded_model(experiment)
    shapes = {
        published_name(name): list(tensor.shape)
        for name, tensor in model.model.state_dict().items()
    }
    assert shapes == golden["state_dict"]
    published = golden["hyper_parameters"] | {"l_lr": float(golden["hyper_parameters"]["l_lr"])}
    assert {name: model.hparams[name] for name in published} == published


@pytest.mark.parametrize(("experiment", "millions"), [("abinet", 36.86), ("abinet-sv", 32.92)])
def test_number_of_parameters(experiment: str, millions: float) -> None:
    count = sum(parameter.numel() for parameter in recorded_model(experiment).model.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_logits(experiment: str) -> None:
    golden = recorded_arrays(f"{experiment}.npz")["logits"]
    with torch.inference_mode():
        logits = recorded_model(experiment)(images(2, 32, 128)).numpy()
    np.testing.assert_allclose(logits, golden, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("joint", "record"),
    [
        pytest.param(False, "training_step_pretraining", marks=pytest.mark.slow),
        (True, "training_step_joint"),
    ],
)
def test_training_loss_and_gradients(joint: bool, record: str) -> None:
    golden = recorded("abinet.json")["training"][record]
    system = recorded_system()
    system.joint = joint
    targets = system.targets(recorded("training.json")["labels"])
    estimates = system.estimates(images(len(targets), 32, 128), targets)
    # Recorded in evaluation mode, in which the reference counts the last iteration alone.
    losses = system.losses({part: made[-1:] for part, made in estimates.items()}, targets)
    loss = system.weighted_sum(losses)
    system.zero_grad()
    loss.backward()
    norms = {
        published_name(name): float(p.grad.norm()) for name, p in system.model.named_parameters()
    }
    assert loss.item() == pytest.approx(golden["loss"], rel=1e-5)
    assert np.linalg.norm(list(norms.values())) == pytest.approx(
        golden["total_grad_norm"], rel=1e-3
    )
    for name, norm in golden["grad_norms"].items():
        assert norms[name] == pytest.approx(norm, rel=1e-3), name


def test_validation_loss() -> None:
    golden = recorded("abinet.json")["training"]
    labels = recorded("training.json")["labels"]
    with torch.inference_mode():
        _, loss, elements = recorded_system().validation_loss(images(len(labels), 32, 128), labels)
    assert loss.item() == pytest.approx(golden["validation_loss"], rel=1e-5)
    assert elements == golden["validation_loss_numel"]


def test_a_file_as_the_released_ones_loads(tmp_path: Path) -> None:
    """Bare weights with `model.` before each name; all sizes are told from them."""
    model = recorded_model("abinet-sv")
    weights = {published_name(name): tensor for name, tensor in model.model.state_dict().items()}
    torch.save(weights, tmp_path / "abinet.pt")
    loaded = load_from_checkpoint(tmp_path / "abinet.pt").eval()
    network_options = keyword_names(Network)
    stored = {name: value for name, value in loaded.hparams.items() if name in network_options}
    assert stored == {
        name: value for name, value in model.hparams.items() if name in network_options
    }
    assert loaded.hparams.charset_train == model.hparams.charset_train
    with torch.inference_mode():
        assert torch.equal(loaded(images(1, 32, 128)), model(images(1, 32, 128)))
