"""A model in memory whose weights are no numbers, such as after a run that diverged, is told; it
does not read ''.
"""

import pytest
import torch

from strhub import Recognizer, load
from strhub.errors import CheckpointError

IMAGE = "demo_images/01.png"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights(
    value: float, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(request.config.rootpath)
    model = load("strhub-tiny")
    with torch.no_grad():
        model.model.head.bias.fill_(value)
    for options in ({}, {"top_k": 2}, {"decode_ar": False, "beam_width": 2}):
        with pytest.raises(CheckpointError, match="infinite or none"):
            Recognizer(model, threads=1, **options)(IMAGE)


@pytest.mark.parametrize("temperature", [0.0, float("nan")])
def test_temperature(
    temperature: float, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(request.config.rootpath)
    model = load("strhub-tiny")
    model.hparams["temperature"] = temperature
    with pytest.raises(CheckpointError, match="infinite or none"):
        Recognizer(model, threads=1)(IMAGE)
