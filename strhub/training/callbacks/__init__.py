"""Lightning callbacks, each in a module of its own."""

from strhub.training.callbacks.averaging import LateWeightAveraging
from strhub.training.callbacks.count_unreadable import CountUnreadable
from strhub.training.callbacks.evaluation_report import EvaluationReport
from strhub.training.callbacks.final_validation import FinalValidation
from strhub.training.callbacks.last_checkpoint import LastCheckpoint
from strhub.training.callbacks.sample_images import ReadingSamples
from strhub.training.callbacks.step_guard import StepGuard
from strhub.training.callbacks.without_dropout import WithoutDropout

__all__ = [
    "CountUnreadable",
    "EvaluationReport",
    "FinalValidation",
    "LastCheckpoint",
    "LateWeightAveraging",
    "ReadingSamples",
    "StepGuard",
    "WithoutDropout",
]
