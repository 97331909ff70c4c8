"""What several tests need: small configurations, small data sets, small models."""

import os
import random
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

# One thread computes the same numbers in the same order wherever the tests run, and two tests do
# not fight for cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What tests export is their own; tests/security/test_onnx_trial.py shows what is done with files of
# others.
os.environ.setdefault("STRHUB_TRUST_ONNX", "1")
# Ray's workers are to find what pytest's `pythonpath` lets the tests import.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [
        str(Path(__file__).parent),
        str(Path(__file__).parent / "bulk"),
        *filter(None, [os.environ.get("PYTHONPATH")]),
    ]
)

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hypothesis import HealthCheck, settings
from omegaconf import DictConfig
from small_runs import SMALL, Compose

from strhub.configs import CONFIG_DIR

# How long examples take depends on what else the machine does: no test is to fail by that. They are
# the same in every run, but for `pytest --hypothesis-profile=explore`.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("usual", settings.get_profile("explore"), derandomize=True)
settings.load_profile("usual")


def pytest_configure() -> None:
    """Tests that press Ctrl-C work in the background of a shell, too: commands would inherit that
    it is ignored.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Seed every generator before a test and its fixtures: what fails fails in every run."""
    random.seed(0)
    np.random.seed(0)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def bfloat16_everywhere() -> Iterator[None]:
    """Let "auto" choose bfloat16 on any processor if STRHUB_TEST_BFLOAT16 is set, as `make
    test-cpus` does.
    """
    with pytest.MonkeyPatch.context() as patch:
        if os.environ.get("STRHUB_TEST_BFLOAT16"):
            patch.setattr("strhub.utils.precision.processor_has_bfloat16", lambda: True)
        yield


@pytest.fixture
def compose_main(tmp_path: Path) -> Compose:
    """Compose the real training configuration with a small model; its output goes to a temporary
    folder.
    """

    def composed(*overrides: str, small: Sequence[str] = SMALL) -> DictConfig:
        with initialize_config_dir(str(CONFIG_DIR.absolute()), version_base="1.3"):
            return compose("main", overrides=[*small, f"output_dir={tmp_path / 'run'}", *overrides])

    return composed


@pytest.fixture(scope="session")
def word_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder: 40 rendered words to train on, in two nested sets, 12 to validate, 10 to
    test.
    """
    from strhub.data.sources.lmdb import write_lmdb
    from strhub.data.synth import RenderedWords
    from strhub.text import CHARSET_62

    root = tmp_path_factory.mktemp("data")
    words = RenderedWords(charset=CHARSET_62, max_length=10, seed=3, difficulty=0.0)
    parts = {
        "train/real/a": 24,
        "train/real/deep/er/b": 16,
        "val/a": 12,
        "test/IIIT5k": 10,
        "test/SVT": 4,
    }
    first = 0
    for name, count in parts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_lmdb(root / name, [words.render(index) for index in range(first, first + count)])
        first += count
    return root
