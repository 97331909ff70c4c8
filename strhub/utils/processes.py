"""What belongs to one process: threads and locks do not survive a fork, nor can they be pickled."""

from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

__all__ = ["PerProcess"]

T = TypeVar("T")


class PerProcess(Generic[T]):
    """A value that is made when it is first asked for, and made anew in a forked child and an
    unpickled copy.

    make: makes it. made: the value of this process, if there is one already.
    """

    def __init__(self, make: Callable[[], T], *made: T) -> None:
        self._make = make
        self._made = made
        self._watch()

    def get(self) -> T:
        """Return the value of this process."""
        made = self._made
        if not made:
            made = self._made = (self._make(),)
        return made[0]

    def __getstate__(self) -> dict[str, Any]:
        return {"_make": self._make}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._make = state["_make"]
        self._made = ()
        self._watch()

    def _watch(self) -> None:
        if not hasattr(os, "register_at_fork"):  # a system without forks
            return
        if not _WATCHED:
            os.register_at_fork(after_in_child=_leave_all)
            _WATCHED.append(weakref.WeakSet())
        _WATCHED[0].add(self)

    def _leave(self) -> None:
        """Forget the parent's value, but never free it: that may wait for its threads, or crash
        without them.
        """
        for value in self._made:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(value))
        self._made = ()


_WATCHED: list[weakref.WeakSet[PerProcess[Any]]] = []  # one set, once there is anything to watch


def _leave_all() -> None:
    for watched in list(_WATCHED[0]):
        watched._leave()
