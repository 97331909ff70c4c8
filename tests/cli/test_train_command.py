"""train.py and bench.py as users of the reference call them."""

import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from small_runs import Compose

from strhub.cli.bench import report
from strhub.cli.overrides import prepare
from strhub.cli.train import remove_unused_run
from strhub.configs import CONFIG_DIR
from strhub.data.module import SceneTextDataModule
from strhub.training.adopting import adopt_pretrained
from strhub.training.run import model_from_config

ROOT = Path(__file__).parent.parent.parent

SEED_COMMANDS = [
    "pretrained=strhub-tiny",
    "+experiment=parseq-tiny",
    "charset=94_full",
    "charset=36_lowercase",
    "charset=62_mixed-case",
    "dataset=real",
    "dataset=synth",
    "data.root_dir=data data.num_workers=2 data.augment=true",
    "model.img_size=[32,128] model.max_label_length=25 model.batch_size=384",
    "trainer.max_epochs=20 trainer.accelerator=gpu trainer.devices=2",
    "+experiment=parseq-patch16-224",
    "+experiment=parseq",
    "+experiment=strhub-tiny",
    "debug=one_step",
    "debug=overfit",
    "averaging=ema",
    "averaging=none",
    "logger=csv",
    "+experiment=parseq-tiny +hardware=gpu",
    "data.normalize=clip",
]


@pytest.mark.parametrize("command", SEED_COMMANDS)
def test_command_lines_compose_and_build(command: str) -> None:
    overrides = command.split()
    with initialize_config_dir(str(CONFIG_DIR.absolute()), version_base="1.3"):
        config = compose("main", overrides=[*overrides, "output_dir=unused"])
    adopt_pretrained(config, overrides)
    model = model_from_config(config)
    assert config.data.normalize in (None, model.hparams["normalize"])
    data = SceneTextDataModule(
        **{key: value for key, value in config.data.items() if not str(key).startswith("_")}
    )
    assert data.train_dir in ("real", "synth", "")


def run_script(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        pytest.param(
            "+experiment=parsec", "Could not find 'experiment/parsec'", marks=pytest.mark.slow
        ),
        pytest.param("model.embed_dimm=3", "embed_dimm", marks=pytest.mark.slow),
        ("data.root_dir=/nowhere", "looked for LMDB folders (data.mdb) in /nowhere/train/real"),
        pytest.param("ckpt_path=/gone.ckpt", "there is no file /gone.ckpt", marks=pytest.mark.slow),
    ],
)
def test_mistakes_end_with_a_clear_message(tmp_path: Path, override: str, message: str) -> None:
    done = run_script("train.py", override, f"hydra.run.dir={tmp_path}", "trainer.accelerator=cpu")
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("data.mixture={rendered: 0.4, self: 0.1}", {"rendered": 0.4, "self": 0.1}),
        ("data.mixture={rendered: 1}", {"rendered": 1}),
        ("data.mixture.real=0.5", {"rendered": 0.45, "real": 0.5, "pseudo": 0.17, "print": 0.06}),
        ("data.mixture=null", None),
    ],
)
def test_a_mixture_replaces_that_of_an_experiment(
    override: str, expected: dict[str, float] | None
) -> None:
    overrides = prepare(["+experiment=strhub-tiny", override])
    with initialize_config_dir(str(CONFIG_DIR.absolute()), version_base="1.3"):
        config = compose("main", overrides=overrides)
    assert config.data.mixture == expected
    adopt_pretrained(config, overrides)


def test_mixtures_on_the_command_line() -> None:
    arguments = (
        "+experiment=strhub-tiny",
        "data.mixture={rendered: 0.4, self: 0.1}",
        "--cfg",
        "job",
        "--package",
        "data",
    )
    done = run_script("train.py", *arguments)
    assert done.returncode == 0, done.stderr
    assert "mixture:\n  rendered: 0.4\n  self: 0.1\n" in done.stdout
    assert "real" not in done.stdout
    assert done.stderr == ""


def test_bench_reports_parameters_multiply_adds_and_latency() -> None:
    with initialize_config_dir(str(CONFIG_DIR.absolute()), version_base="1.3"):
        config = compose(
            "bench",
            overrides=[
                "+experiment=parseq-tiny",
                "model.decode_ar=false",
                "model.refine_iters=3",
                "repeats=2",
                "warm_up=1",
            ],
        )
    text = report(config)
    assert "6.02 M" in text
    assert "batches of 1 " in text


@pytest.mark.parametrize(
    ("experiment", "decode_ar", "refine_iters", "giga"),
    [
        ("parseq-tiny", True, 1, 0.995),
        ("parseq-tiny", False, 0, 0.708),
        ("parseq", True, 1, 3.96),
        ("parseq", False, 0, 2.82),
    ],
)
def test_multiply_adds_are_no_more_than_the_published(
    experiment: str, decode_ar: bool, refine_iters: int, giga: float
) -> None:
    """Published counts leave attention itself out (timm's and fvcore's habit) and recompute what we
    keep.
    """
    import torch

    from strhub.benchmark.measure import count_multiply_adds
    from strhub.checkpoint.zoo import create_model

    model = create_model(experiment, decode_ar=decode_ar, refine_iters=refine_iters).eval()
    counted = count_multiply_adds(model.model, torch.zeros(1, 3, 32, 128), 25) / 1e9
    assert 0.5 * giga < counted < 1.1 * giga


def test_the_configuration_tree_is_whole(compose_main: Compose) -> None:
    """Every file of every group composes. Those in `style` are not composed but read as they
    are.
    """
    others = ("experiment", "style", "__pycache__")
    groups = [path for path in CONFIG_DIR.iterdir() if path.is_dir() and path.name not in others]
    assert len(groups) >= 8
    for group in groups:
        for file in group.glob("*.yaml"):
            needed = ["data.shards=words.tar"] if file.stem == "streamed" else []
            plus = (
                "+" if group.name == "hardware" else ""
            )  # comes after an experiment, so it has no place of its own
            assert compose_main(f"{plus}{group.name}={file.stem}", *needed, small=()) is not None


@pytest.mark.parametrize(
    ("command", "extra"),
    [("train", "train"), ("bench", "bench"), ("tune", "tune"), ("test", "eval")],
)
def test_a_missing_extra_is_named(command: str, extra: str) -> None:
    missing = "pytorch_lightning" if command == "test" else "hydra"
    code = (
        f"import sys; sys.modules['{missing}'] = None; sys.argv = ['x', 'pretrained=strhub-tiny'];"
        f"from strhub.cli.{command} import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"pip install -e '.[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_run_that_has_not_begun_leaves_no_folder(tmp_path: Path) -> None:
    arguments = ["train.py", "dataset=rendered", "ckpt_path=absent", "logger=csv"]
    done = run_script(*arguments, f"hydra.run.dir={tmp_path}/day/run")
    assert done.returncode == 1
    assert "there is no file absent" in done.stderr
    assert not any(tmp_path.iterdir())


def test_what_is_in_a_folder_stays(tmp_path: Path) -> None:
    for name in ("checkpoints", "config"):
        (tmp_path / "run" / name).mkdir(parents=True)
    remove_unused_run(tmp_path / "run")
    assert len([*(tmp_path / "run").iterdir()]) == 2
    remove_unused_run(tmp_path / "absent")


@pytest.mark.parametrize(
    "command",
    ["train.py", *(pytest.param(name, marks=pytest.mark.slow) for name in ("tune.py", "bench.py"))],
)
def test_every_command_takes_a_charset_from_a_file(command: str, tmp_path: Path) -> None:
    """And says so in one line if there is none: it is not taken for the characters themselves."""
    charset = "model.charset_train=@absent/words.txt"
    done = run_script(command, charset, f"hydra.run.dir={tmp_path}/run")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{command}: charset_train: there is no file or folder absent/words.txt")
