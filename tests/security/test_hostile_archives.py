"""Archives of `torch.export` that would run code in PyTorch's own reader, or take memory or time:
read as data, or refused in one line.
"""

from __future__ import annotations

import json
import struct
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from archives import (
    DESCRIPTION,
    MEANS,
    RUN,
    TOUCH,
    ints,
    listed,
    program,
    step,
    tensor,
    write_archive,
)
from attack_support import run_python
from hostile import VALUES, changed_json, damaged, deep

pytest.importorskip("torch", reason="archives are read with PyTorch: pip install strhub[torch]")

from strhub import Recognizer
from strhub.errors import CheckpointError
from strhub.inference import limited_session

ENDS = {"inputs": [tensor("images")], "outputs": [tensor("logits")]}
FILLED = "torch.ops.aten.full.default"
PICKLED = {
    "data/weights/model_weights_config.json": listed(use_pickle=True),
    "data/weights/weight_0": TOUCH,
}

READ: dict[str, dict[str, Any]] = {  # what would run stands where nothing looks
    "plain": {},
    "guards": {"guards_code": [RUN, f"L['images'].size()[0] == {RUN}"]},
    "library": {"records": {"data/aotinductor/model/a.so": b"\x7fELF", "data/weights/x": TOUCH}},
    "constraints": {"range_constraints": {RUN: {"min_val": 0, "max_val": None}}},
}


def _one(target: str, *inputs: Any) -> dict[str, Any]:
    return {"steps": [step(target, inputs or [tensor("images")], "logits")]}


def _squares() -> list[Any]:
    """Numbers that double their length at each step."""
    size: dict[str, Any] = {"as_sym_int": {"as_name": "n0"}}
    steps = [step("torch.ops.aten.sym_size.int", [tensor("images"), {"as_int": 2}], size)]
    for number in range(60):
        one, more = ({"as_sym_int": {"as_name": f"n{number + plus}"}} for plus in (0, 1))
        steps.append(step("_operator.mul", [one, one], more))
    return [*steps, *MEANS]


def _nested() -> list[Any]:
    inner: dict[str, Any] = {"as_graph": {"name": "g", "graph": {**ENDS, "nodes": []}}}
    for _ in range(50):
        head = [{"as_string": "cpu"}, {"as_none": True}, {"as_bool": False}, {"as_bool": False}]
        target = "torch.ops.higher_order.wrap_with_autocast"
        one = step(target, [*head, inner, tensor("images")], "logits")
        inner = {"as_graph": {"name": "g", "graph": {**ENDS, "nodes": [one]}}}
    return [one]


REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "pickled weights": ("is a pickle", {"records": PICKLED}),
    "older weights": ("holds more than tensors", {"records": {"data/weights/model.pt": TOUCH}}),
    "system": ("is not an operator", _one("os.system", {"as_string": "touch ran"})),
    "eval": ("is not an operator", _one("builtins.eval", {"as_string": RUN})),
    "dunder": ("is not an operator", _one("torch.ops.aten.__class__.default")),
    "file": (
        "is not an operator",
        _one("torch.ops.aten.from_file.default", {"as_string": "/etc/passwd"}),
    ),
    "loop": ("is not an operator", _one("torch.ops.higher_order.while_loop")),
    "out": (
        "is not an operator",
        _one("torch.ops.aten.add.out", tensor("images"), tensor("images")),
    ),
    "object": ("argument of the kind", _one("torch.ops.aten.relu.default", {"as_custom_obj": {
        "name": "a", "class_fqn": RUN}})),
    "nested": ("programs within programs", {"steps": _nested()}),
    "steps": ("too long", {"steps": [1] * 100_001}),
    "absent": ("weights that are not", {"records": {
        "data/weights/model_weights_config.json": {"config": {}}}}),
    "outside": ("has no", {"records": {"data/weights/model_weights_config.json":
        listed("../../../../etc/passwd")}}),
    "beyond": ("out of bounds|storage", {"records": {"data/weights/model_weights_config.json":
        listed(storage_offset={"as_int": 1 << 30})}}),
    "petabytes": ("an impossible size|storage", {"records": {
        "data/weights/model_weights_config.json": listed(sizes=[{"as_int": 1 << 50}],
            strides=[{"as_int": 1}])}}),
    "no numbers": ("damaged", {"records": {"data/weights/weight_0": struct.pack(
        "<24f", *[float("nan")] * 24)}}),
    "description": ("img_size", {"records": {"extra/strhub.json":
        {**DESCRIPTION, "img_size": [30000, 30000]}}}),
    "compressed": ("compressed", {"compressed": True}),
    "deep": ("cannot be read", {"records": {"models/model.json": deep().encode()}}),
    "squares": ("where a number has to be", {"steps": _squares()}),
    "no output": ("does not compute its output", {"steps": MEANS[:1]}),
    "other version": ("another version", {"schema_version": {"major": 9}}),
}  # fmt: skip

CHILD = """
import os, sys
import numpy as np
from strhub import Recognizer
for path in sys.argv[1:]:
    try:
        reading = Recognizer(path, device="cpu")([np.zeros((8, 8, 3), dtype=np.uint8)])[0]
        said = reading.error or "read"
    except ValueError as error:
        said = str(error)
    assert "\\n" not in said, said
    print(os.path.basename(path), said, sep="\\t")
"""


def test_nothing_runs_and_nothing_grows(tmp_path: Path) -> None:
    """All in one limited child, whose start is most of the time."""
    cases = {**READ, **{name: changes for name, (_, changes) in REFUSED.items()}}
    paths = [
        write_archive(tmp_path / f"{number}.pt2", **changes)
        for number, changes in enumerate(cases.values())
    ]
    outcome = run_python(
        CHILD,
        *paths,
        memory_mib=1500,
        cwd=tmp_path,
        environment={limited_session.TRUST: "1"},
    )
    assert outcome.ended_well, outcome
    lines = dict(line.split("\t", 1) for line in outcome.stdout.splitlines())
    said = {name: lines[path.name] for name, path in zip(cases, paths, strict=True)}
    assert {name: said[name] for name in READ} == dict.fromkeys(READ, "read")
    for name, (message, _) in REFUSED.items():
        assert any(one in said[name] for one in message.split("|")), (name, said[name])
    assert not (tmp_path / "ran").exists()


HUGE = [
    step(FILLED, [ints(1 << 33), {"as_float": 1.0}], "large"),
    step("torch.ops.aten.sum.default", [tensor("large")], "sum"),
    *MEANS,
]
LONG = [
    step(FILLED, [ints(4000, 4000), {"as_float": 0.0}], "m0"),
    *(
        step("torch.ops.aten.mm.default", [tensor(f"m{n}"), tensor(f"m{n}")], f"m{n + 1}")
        for n in range(2000)
    ),
    *MEANS,
]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="it has no such limits")
@pytest.mark.parametrize(
    ("steps", "message"), [(HUGE, "cannot be computed"), (LONG, "takes over 3 seconds")]
)
def test_memory_and_time_have_limits(
    tmp_path: Path, steps: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(limited_session.TRUST, raising=False)
    monkeypatch.setattr(limited_session, "MAX_CPU_SECONDS", 3)
    with pytest.raises(CheckpointError, match=message):
        Recognizer(write_archive(tmp_path / "a.pt2", steps), device="cpu")


@pytest.fixture
def untried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(limited_session.TRUST, "1")


def _attempts(folder: Path) -> Iterator[Path]:
    """Damaged archives, and such with hostile values in their JSON."""
    rng = np.random.default_rng(0)
    sound = write_archive(folder / "sound.pt2").read_bytes()
    for _ in range(150):
        path = folder / "a.pt2"
        path.write_bytes(damaged(sound, rng))
        yield path
    texts = {
        "models/model.json": program(),
        "extra/strhub.json": DESCRIPTION,
        "data/weights/model_weights_config.json": listed(),
    }
    for number in range(300):
        name = list(texts)[number % 3]
        changed = changed_json(json.dumps(texts[name]), rng).encode()
        yield write_archive(folder / "a.pt2", records={name: changed})
    for value in VALUES:
        yield write_archive(folder / "a.pt2", records={"models/model.json": value})


@pytest.mark.usefixtures("untried")
def test_damage_is_one_error(tmp_path: Path) -> None:
    image = np.zeros((8, 8, 3), dtype=np.uint8)
    read = 0
    lines = set[int]()
    for path in _attempts(tmp_path):
        try:
            Recognizer(path, device="cpu")([image])
        except CheckpointError as error:
            lines.add(len(str(error).splitlines()))
        else:
            read += 1
    assert lines == {1}
    assert read < 400


@pytest.mark.usefixtures("untried")
def test_weights_as_older_versions_wrote_them(tmp_path: Path) -> None:
    import torch

    torch.save({"weight": torch.arange(24.0).reshape(3, 8)}, tmp_path / "w.pt")
    older = {
        "data/weights/model.pt": (tmp_path / "w.pt").read_bytes(),
        "data/weights/weight_0": None,
    }
    paths = [write_archive(tmp_path / "a.pt2"), write_archive(tmp_path / "b.pt2", records=older)]
    image = np.full((8, 8, 3), 255, dtype=np.uint8)
    texts = [Recognizer(path, device="cpu")([image])[0] for path in paths]
    assert texts[0] == texts[1]
    with zipfile.ZipFile(paths[1]) as archive:
        assert "archive/data/weights/weight_0" not in archive.namelist()
