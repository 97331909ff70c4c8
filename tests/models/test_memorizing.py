"""Every architecture, made small, learns 64 rendered words by heart: its loss leads where its
reading begins.
"""

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from tiny_models import CHARSET, Training, tiny_system

from strhub.data.loading.aspect import AspectTransform
from strhub.data.synth import RenderedWords
from strhub.data.transforms import WordTransform
from strhub.images.padding import pad
from strhub.training.optimizers import MuonWithAdamW
from strhub.training.systems.abinet import ABINet
from strhub.training.systems.base import System

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore:You are trying to `self.log"),
]
WORDS = 64


class Run(NamedTuple):
    """How an architecture is trained: sizes, passes over the words, words a step, greatest learning
    rate.
    """

    options: dict[str, Any]
    passes: int
    batch: int
    lr: float


COLUMNS = {
    "img_size": [32, 48],
    "num_fiducial": 4,
    "localization_channel": 8,
    "output_channel": 32,
    "hidden_size": 64,
}
ABINET = {"img_size": [16, 32], "d_model": 64, "d_inner": 128, "iter_size": 1}
RUNS = {
    "vitstr": Run({"embed_dim": 64, "depth": 2, "patch_size": [32, 4]}, 32, 8, 5e-3),
    "parseq": Run(
        {"embed_dim": 64, "enc_num_heads": 2, "enc_depth": 2, "patch_size": [32, 4]}, 30, 8, 5e-3
    ),
    "crnn": Run({"img_size": [32, 48], "hidden_size": 64}, 70, 8, 4e-3),
    "trba": Run(COLUMNS, 90, 16, 6e-3),
    "trbc": Run(COLUMNS, 80, 16, 6e-3),
    "abinet": Run(ABINET, 80, 8, 5e-3),
    "abinet-sv": Run(ABINET, 60, 8, 5e-3),
    "svtr-tiny": Run({"img_size": [16, 64]}, 120, 8, 1e-2),
}


@pytest.fixture(scope="module")
def rendered() -> list[Any]:
    words = RenderedWords(charset=CHARSET, max_length=4, seed=0, difficulty=0.0)
    return [words.render(index) for index in range(WORDS)]


@pytest.mark.parametrize("experiment", RUNS)
def test_64_rendered_words_are_memorized(experiment: str, rendered: list[Any]) -> None:
    run = RUNS[experiment]
    system = tiny_system(Training(experiment), **run.options)
    kind = AspectTransform if experiment.startswith("svtr") else WordTransform
    transform = kind(system.hparams["img_size"])
    images, labels = [transform(image) for image, _ in rendered], [label for _, label in rendered]
    learn(system, images, labels, run)
    with torch.inference_mode():
        texts, _ = system.tokenizer.decode(system.eval()(pad(images)).softmax(-1))
    assert sum(text == label for text, label in zip(texts, labels, strict=True)) >= 60


def learn(system: System, images: list[torch.Tensor], labels: list[str], run: Run) -> None:
    """Train on all words again and again; the rate rises for a twentieth of the time, and falls for
    all the rest.
    """
    optimizer = MuonWithAdamW(
        [pair for pair in system.named_parameters() if pair[1].requires_grad], lr=run.lr
    )
    rng, steps = np.random.default_rng(0), run.passes * WORDS // run.batch
    for step in range(steps):
        if step % (WORDS // run.batch) == 0:
            batches = iter(np.array_split(rng.permutation(WORDS), WORDS // run.batch))
        if isinstance(system, ABINet) and step == steps // 3:
            system.begin_joint_training()
        for group in optimizer.param_groups:
            group["lr"] = run.lr * min(20 * (step + 1) / steps, 1, 1.05 * (1 - step / steps))
        chosen = next(batches)
        optimizer.zero_grad()
        system.training_loss(
            pad([images[word] for word in chosen]), [labels[word] for word in chosen]
        ).backward()
        torch.nn.utils.clip_grad_norm_(system.parameters(), 5)
        optimizer.step()
