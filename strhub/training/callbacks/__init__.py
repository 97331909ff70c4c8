"""Lightning callbacks, each in a module of its own."""

from strhub.training.callbacks.averaging import LateWeightAveraging
from strhub.training.callbacks.count_unreadable import CountUnreadable
from strhub.training.callbacks.last_checkpoint import LastCheckpoint
from strhub.training.callbacks.sample_images import ReadingSamples
from strhub.training.callbacks.step_guard import StepGuard

__all__ = ["CountUnreadable", "LastCheckpoint", "LateWeightAveraging", "ReadingSamples", "StepGuard"]
