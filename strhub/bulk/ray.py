"""Units read by actors of Ray Data: they stream through, each actor with a recognizer of its own.

An actor that dies is replaced, and what it was at is read again; a part that is there already is
not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from strhub.bulk import engines
from strhub.bulk.inputs import Unit
from strhub.utils.cluster import ray_session

__all__ = ["read_units"]


def read_units(
    units: Sequence[Unit],
    make: Callable[[], Any],
    folder: Path,
    *,
    workers: int | None,
    cpus: float,
    gpus: float,
    address: str | None,
    report: Callable[[Iterator[int]], Iterable[int]],
) -> int:
    """Read units and write their parts; how many images there were. The arguments are those of
    `read_all`.

    Raises:
        ValueError: if Ray has not so much as one actor takes, or no cluster is at `address`.
    """
    with ray_session(address, option="address") as resources:
        import ray.data

        for name, amount in (("CPU", cpus), ("GPU", gpus)):
            if amount > resources.get(name, 0):
                raise ValueError(
                    f"an actor needs {amount:g} {name}, but Ray has {resources.get(name, 0):g}"
                )
        fit = min(
            int(resources.get(name, 0) / amount)
            for name, amount in (("CPU", cpus), ("GPU", gpus))
            if amount
        )
        actors = min(workers or fit, len(units))
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        rows = [{"unit": unit.to_json()} for unit in units]
        dataset = ray.data.from_items(
            rows, override_num_blocks=min(len(rows), engines.BLOCKS)
        ).map_batches(
            _Actor,
            fn_constructor_args=(make, os.getcwd(), str(folder)),
            batch_size=1,
            num_cpus=cpus,
            num_gpus=gpus or None,
            compute=ray.data.ActorPoolStrategy(size=actors),
        )
        return sum(report(int(row["images"]) for row in dataset.iter_rows()))


class _Actor:
    """Reads unit after unit."""

    def __init__(self, make: Callable[[], Any], here: str, folder: str) -> None:
        os.chdir(here)  # paths are relative to where the run was started
        self.reader, self.folder = make(), Path(folder)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[int]]:
        units = [Unit.from_json(str(text)) for text in batch["unit"]]
        return {"images": [engines.read_unit(unit, self.reader, self.folder) for unit in units]}
