"""A resumed run has the options that it was started with, and what is given now."""

from pathlib import Path

import pytest
import yaml

from strhub.cli.overrides import prepare
from strhub.cli.stored_run import with_stored

STORED = [
    "+experiment=parseq-tiny",
    "model.lr=0.1",
    "data.root_dir='a=b'",
    "ckpt_path=null",
    "~callbacks.samples",
]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's folder as Hydra and the callbacks leave it."""
    folder = tmp_path / "run=1"
    for name in ("config", "checkpoints"):
        (folder / name).mkdir(parents=True)
    (folder / "config" / "overrides.yaml").write_text(yaml.safe_dump(STORED), "utf-8")
    for name in ("last.ckpt", "epoch0-step8-accuracy1.00.ckpt"):
        (folder / "checkpoints" / name).touch()
    return folder


OWN = ["+experiment=parseq-tiny", "model.lr=0.1", "data.root_dir='a=b'", "~callbacks.samples"]


@pytest.mark.parametrize(
    ("path", "now", "expected"),
    [
        ("checkpoints/last.ckpt", [], OWN),
        ("checkpoints/epoch0-step8-accuracy1.00.ckpt", [], OWN),
        ("last", [], OWN),
        ("best", [], OWN),
        ("", [], OWN),
        ("last", ["model.lr=0.2"], [one for one in OWN if "lr" not in one]),
        (
            "last",
            ["++model.lr=0.2", "+experiment=parseq"],
            OWN[2:],
        ),
        ("last", ["callbacks.samples=null"], OWN[:-1]),
        ("last", ["data={}"], [one for one in OWN if "data" not in one]),
    ],
)
def test_stored_options_come_first(
    run: Path, path: str, now: list[str], expected: list[str]
) -> None:
    now = prepare([f"ckpt_path={run / path}", *now])
    assert with_stored(now) == [*expected, *now]


def test_last_is_that_of_the_runs_own_folder(run: Path, tmp_path: Path) -> None:
    now = prepare(["-m", f"hydra.run.dir={run}", "ckpt_path=last"])
    assert with_stored(now) == ["-m", *OWN, *now[1:]]
    (run / "checkpoints" / "last.ckpt").unlink()
    assert with_stored(now) == now, "there is nothing to resume, so this is a new run"
    assert (
        with_stored(prepare([f"hydra.run.dir={tmp_path}/new", "ckpt_path=last"]))[-1]
        == "ckpt_path=last"
    )


def test_where_nothing_is_stored_or_resumed(run: Path, tmp_path: Path) -> None:
    assert with_stored(["model=crnn"]) == ["model=crnn"]
    (run / "config" / "overrides.yaml").unlink()
    now = prepare([f"ckpt_path={run}/last", "seed=1"])
    assert with_stored(now) == now
    assert with_stored([f"ckpt_path={tmp_path}/gone.ckpt"]) == [f"ckpt_path={tmp_path}/gone.ckpt"]


def test_the_folder_of_further_choices_is_asked_for(run: Path, tmp_path: Path) -> None:
    """It is configuration, which can run code: a file does not decide that it is used."""
    sources = [
        {"provider": "main", "path": "/a"},
        {"provider": "command-line", "path": str(tmp_path)},
    ]
    hydra = {"hydra": {"runtime": {"config_sources": sources}}}
    (run / "config" / "hydra.yaml").write_text(yaml.safe_dump(hydra), "utf-8")
    with pytest.raises(ValueError, match=f"configuration in {tmp_path}.* give --config-dir again"):
        with_stored(prepare([f"ckpt_path={run}"]))
    assert with_stored(prepare(["--config-dir=b", f"ckpt_path={run}"]))[0] == "--config-dir=b"


@pytest.mark.parametrize(
    "stored",
    [
        "callbacks.best._target_=builtins.exec",
        "+callbacks.x={_target_: os.system, command: id}",
        "+trainer.plugins=[{_target_: os.system}]",
        "model.name=${oc.env:HOME}",
        "model._convert_=all",
        "hydra.run.dir=/tmp/x",
        "hydra/launcher=x",
        "+hydra.callbacks.x._target_=a",
        "hydra.searchpath=[file:///x]",
        "logger.csv.save_dir=/etc",
        "callbacks.best.dirpath=../x",
        "+trainer.default_root_dir=/x",
        "+x={a: {_args_: [1]}}",
        "model.lr=1,2",
        '+data.a=["${oc.env:HOME}"]',
    ],
)
def test_what_a_stranger_s_run_stores_runs_no_code(run: Path, stored: str) -> None:
    (run / "config" / "overrides.yaml").write_text(yaml.safe_dump([*STORED, stored]), "utf-8")
    with pytest.raises(ValueError, match="is not taken from a file") as caught:
        with_stored(prepare([f"ckpt_path={run}"]))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "stored",
    [
        "data.mixture={rendered: 0.5, real: 0.5}",
        "model.charset_train='$%{}'",
        "trainer.precision=bf16-mixed",
    ],
)
def test_plain_options_are_taken(run: Path, stored: str) -> None:
    (run / "config" / "overrides.yaml").write_text(yaml.safe_dump([stored]), "utf-8")
    assert with_stored(prepare([f"ckpt_path={run}"]))[0] == stored


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 100_000, b"a" * (2 << 20)])
def test_damaged_files_of_a_run_are_one_line(run: Path, content: bytes) -> None:
    (run / "config" / "overrides.yaml").write_bytes(content)
    with pytest.raises(ValueError, match="cannot be read") as caught:
        with_stored(prepare([f"ckpt_path={run}"]))
    assert str(caught.value).isprintable()
