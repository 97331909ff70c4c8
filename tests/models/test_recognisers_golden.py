"""ViTSTR, CRNN, TRBA and TRBC give the reference's numbers: names and shapes, logits, losses, gradients."""

from functools import cache
from importlib import import_module

import numpy as np
import pytest
import torch
from golden_numbers import FOLDER, images, recorded, weight
from torch import nn

from strhub.models.base import System
from strhub.zoo import SceneTextModel, create_model

EXPERIMENTS = ["vitstr", "crnn", "trba", "trbc"]
# Gradients of TRBA's and TRBC's first layers go through the sampling of noise, where rounding decides: moving the grid
# by 1e-7 of its size changes them by up to 2 %, the total by 0.1 %, and so does computing in 64 bits.
ROUNDED = {"Transformation.": 5e-2, "FeatureExtraction.ConvNet.": 1e-2}
LABELS = recorded("training.json")["labels"]


def fill(network: nn.Module, left_at_init: list[str]) -> None:
    """The recorded weights, but for constants and counters."""
    state = network.state_dict()
    for name, tensor in state.items():
        published = f"model.{name}"
        if tensor.is_floating_point() and published not in left_at_init:
            state[name] = weight(published, tuple(tensor.shape))
    network.load_state_dict(state)


@cache
def recorded_model(experiment: str) -> SceneTextModel:
    model = create_model(experiment).eval()
    fill(model.model, recorded(f"{experiment}.json")["left_at_init"])
    return model


def recorded_system(experiment: str) -> System:
    """With norms as in reading, as the numbers were recorded."""
    kinds = vars(import_module(f"strhub.models.{experiment}.system")).values()
    kind = next(one for one in kinds if getattr(one, "architecture", None) == experiment)
    model = recorded_model(experiment)
    known = kind.known_options()
    system: System = kind(**{name: value for name, value in model.hparams.items() if name in known})
    system.model = model.model
    return system.eval()


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_parameters_are_the_published_ones(experiment: str) -> None:
    state = recorded_model(experiment).model.state_dict()
    assert {f"model.{name}": list(tensor.shape) for name, tensor in state.items()} == recorded(f"{experiment}.json")[
        "state_dict"
    ]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_logits(experiment: str) -> None:
    golden = np.load(FOLDER / f"{experiment}.npz")["logits"]
    with torch.inference_mode():
        logits = recorded_model(experiment)(images(2, 32, 128), 25).numpy()
    np.testing.assert_allclose(logits, golden, rtol=0, atol=1e-4)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_losses_and_gradients(experiment: str) -> None:
    golden = recorded(f"{experiment}.json")["training"]
    system = recorded_system(experiment)
    system.zero_grad()
    loss = system.training_loss(images(6, 32, 128), LABELS)
    loss.backward()
    assert loss.item() == pytest.approx(golden["training_step"]["loss"], rel=1e-5)
    norms = {name: parameter.grad.norm().item() for name, parameter in system.named_parameters()}
    total = sum(norm**2 for norm in norms.values()) ** 0.5
    tolerance = 3e-3 if experiment in ("trba", "trbc") else 1e-3
    assert total == pytest.approx(golden["training_step"]["total_grad_norm"], rel=tolerance)
    assert len(golden["training_step"]["grad_norms"]) >= 5
    for name, norm in golden["training_step"]["grad_norms"].items():
        part = next((share for prefix, share in ROUNDED.items() if f"model.{prefix}" in name), 1e-3)
        assert norms[name] == pytest.approx(norm, rel=part, abs=1e-6), name
    with torch.inference_mode():
        _, loss, elements = system.validation_loss(images(6, 32, 128), LABELS)
    assert loss.item() == pytest.approx(golden["validation_loss"], rel=1e-5)
    assert elements == golden["validation_loss_numel"]
