"""Each prepared image used several times."""

from pathlib import Path

import pytest
import torch
from tests_support import PowerCut
from torch.utils.data import Dataset

from strhub.data.loading.echo import WINDOW, EchoLoader
from strhub.data.loading.loader import Batch, SeededBatches, collate
from strhub.data.loading.restarting import RestartingLoader
from strhub.data.module import SceneTextDataModule
from strhub.data.sources.dataset import Word
from strhub.errors import ConfigError
from strhub.training.run import train

BATCHES, SIZE, ECHO = 12, 4, 3


class Numbers(Dataset[Word]):
    """Words that say which key they were made for."""

    def __getitem__(self, key: tuple[int, int]) -> Word:
        index, seed = key
        return Word(torch.full((1,), float(index)), f"{index}/{seed}", 0)


def echoed(*, epoch: int = 0, start: int = 0, echo: int = ECHO) -> EchoLoader:
    batches = SeededBatches(BATCHES * SIZE, batch_size=SIZE, seed=5)
    batches.seek(epoch, 0)
    loader = RestartingLoader(Numbers(), batch_sampler=batches, collate_fn=collate)
    return EchoLoader(loader, batches, echo=echo, start=start)


def labels(batches: list[Batch]) -> list[list[str]]:
    return [batch.labels for batch in batches]


def test_every_fresh_batch_comes_with_others_from_the_window() -> None:
    loader = echoed()
    batches = list(loader)
    assert len(batches) == len(loader) == BATCHES * ECHO
    fresh = labels(batches)[::ECHO]
    assert fresh == labels(list(echoed(echo=1)))
    for position, batch in enumerate(batches):
        number = position // ECHO
        window = {
            label for words in fresh[max(0, number - WINDOW + 1) : number + 1] for label in words
        }
        assert set(batch.labels) <= window
        assert len(set(batch.labels)) == SIZE
        assert [
            float(label.split("/")[0]) for label in batch.labels
        ] == batch.images.flatten().tolist()
    assert len({tuple(sorted(words)) for words in labels(batches)}) > 0.9 * len(batches)


@pytest.mark.parametrize("start", [0, 1, 2, 3, 10, 29, 35])
def test_goes_on_from_any_batch(start: int) -> None:
    assert labels(list(echoed(start=start))) == labels(list(echoed()))[start:]


def test_each_epoch_is_another_and_begins_anew() -> None:
    loader = echoed(start=7)
    list(loader)
    loader.set_epoch(0)
    assert len(list(loader)) == BATCHES * ECHO - 7
    loader.set_epoch(1)
    assert labels(list(loader)) == labels(list(echoed(epoch=1)))
    assert labels(list(loader)) != labels(list(echoed()))


def test_a_stopped_run_goes_on_with_the_same_numbers(
    tmp_path: Path, compose_main, word_tree: Path
) -> None:  # type: ignore[no-untyped-def]
    """With echoes and distortions on the device, both of which depend on the batch's number."""
    common = (
        f"data.root_dir={word_tree}",
        "data.num_workers=0",
        "data.echo=2",
        "data.augment_on_device=0.5",
        "trainer.max_epochs=2",
        "trainer.accelerator=cpu",
        "logger=csv",
        "callbacks.last.every_n_steps=1",
        "trainer.log_every_n_steps=1",
        "trainer.limit_val_batches=0",
        "+trainer.enable_progress_bar=false",
        "callbacks.best=null",
        "averaging=none",
    )
    whole = train(compose_main(*common, f"output_dir={tmp_path / 'whole'}"))
    stopped = compose_main(
        *common,
        f"output_dir={tmp_path / 'part'}",
        "+callbacks.stop={_target_: tests_support.StopAfter, step: 7}",
    )
    with pytest.raises(PowerCut):
        train(stopped)
    checkpoint = tmp_path / "part" / "checkpoints" / "last.ckpt"
    resumed = train(
        compose_main(*common, f"output_dir={tmp_path / 'part'}", f"ckpt_path={checkpoint}")
    )
    assert resumed["loss"] == whole["loss"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.echo=0"], "data.echo is 0: it must be a number of at least 1"),
        (
            ["data.augment_on_device=2"],
            "data.augment_on_device is 2: it must be a number from 0.0 to 1.0",
        ),
    ],
)
def test_what_cannot_be_is_refused(
    overrides: list[str], message: str, compose_main, word_tree: Path
) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match=message):
        train(compose_main(f"data.root_dir={word_tree}", *overrides))


def test_words_of_any_width_are_not_echoed(word_tree: Path) -> None:
    with pytest.raises(ValueError, match="keep an image's aspect"):
        SceneTextDataModule(
            root_dir=word_tree,
            train_dir="real",
            img_size=[32, 64],
            max_label_length=10,
            charset_train="abc",
            batch_size=4,
            keep_aspect=True,
            echo=2,
        )
