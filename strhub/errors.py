"""Errors that strhub raises for what its user can mend: one tree, `StrhubError`.

They are `ValueError`s as well, or `ImportError`s, so that code which catches those goes on working.
Errors of programming, such as a wrong type of argument, are Python's own.
"""

from __future__ import annotations

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "MissingExtra",
    "MixedInstall",
    "StrhubError",
    "TrainingError",
    "UnreadableImage",
]


class StrhubError(Exception):
    """Any error that strhub raises on purpose."""


class CheckpointError(StrhubError, ValueError):
    """A model's file cannot be used: damaged, of another kind, or of sizes that do not fit."""


class ConfigError(StrhubError, ValueError):
    """An option or a configuration is unknown, of a wrong type, out of range, or contradicts
    another.
    """


class DataError(StrhubError, ValueError):
    """A data set, a label file or a record cannot be used."""


class UnreadableImage(StrhubError, ValueError):
    """An input is not an image that can be read."""


class TrainingError(StrhubError, ValueError):
    """A run cannot go on, such as one whose loss is no number any more."""


class MissingExtra(StrhubError, ModuleNotFoundError):
    """A package is not installed; the message says which extra of strhub brings it."""


class MixedInstall(StrhubError, ImportError):
    """Another project with a package `strhub` is installed into the same folder."""
