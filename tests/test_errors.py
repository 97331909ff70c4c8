"""The tree of errors."""

import inspect

import strhub
from strhub import errors
from strhub.checkpoint.formats import CheckpointError
from strhub.data.curation.writer import NothingWritten
from strhub.data.sources.annotations import BadLine
from strhub.images.open import UnreadableImage
from strhub.text.charset import DroppedLabel
from strhub.training.callbacks.step_guard import Diverged


def test_one_tree_of_few_errors_all_documented_and_exported() -> None:
    classes = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    assert {kind.__name__ for kind in classes} == {*errors.__all__}
    assert len(classes) <= 9
    for kind in classes:
        assert issubclass(kind, errors.StrhubError)
        assert kind.__doc__
        assert getattr(strhub, kind.__name__) is kind


def test_errors_stay_what_they_were() -> None:
    for kind in (CheckpointError, UnreadableImage, DroppedLabel, BadLine, NothingWritten, Diverged):
        assert issubclass(kind, errors.StrhubError)
        assert issubclass(kind, ValueError)
    assert issubclass(errors.MissingExtra, ImportError)
