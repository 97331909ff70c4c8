"""All steps of the drawing of a word, in the order in which they are applied.

In: the tables of `geometry`, `surface`, `objects`, `light` and `camera`. Out: `Stages`. The order
    is part of what a seed means: append to a table, don't sort it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from strhub.data.synth.camera import CAMERA_STEPS
from strhub.data.synth.geometry import GEOMETRY_STEPS
from strhub.data.synth.layout import Geometry
from strhub.data.synth.light import LIGHT_STEPS
from strhub.data.synth.objects import OBJECT_STEPS
from strhub.data.synth.scene import Scene, Step
from strhub.data.synth.surface import CONTRAST_STEPS, FILL_STEPS, OVER_STEPS, UNDER_STEPS

__all__ = ["Stages", "step_limits"]


@dataclass(frozen=True)
class Stages:
    """The steps by stage: how the word lies; its colors; under, in and over the letters; over the
    whole image.
    """

    geometry: tuple[Step[Geometry], ...] = GEOMETRY_STEPS
    contrast: tuple[Step[Scene], ...] = CONTRAST_STEPS
    under: tuple[Step[Scene], ...] = UNDER_STEPS
    fill: tuple[Step[Scene], ...] = FILL_STEPS
    over: tuple[Step[Scene], ...] = OVER_STEPS
    after: tuple[Step[Scene], ...] = (*OBJECT_STEPS, *LIGHT_STEPS, *CAMERA_STEPS)

    def names(self) -> list[str]:
        """Return the names of all steps, in order."""
        return [step.name for stage in fields(self) for step in getattr(self, stage.name)]


def step_limits() -> dict[str, float]:
    """Return the greatest strength of every step, by name, in order."""
    stages = Stages()
    return {
        step.name: step.limit for stage in fields(stages) for step in getattr(stages, stage.name)
    }
