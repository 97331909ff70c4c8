"""What the tests of the service have in common: images, and a service with a real model."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the service is an extra: pip install strhub[serve]")

from fastapi.testclient import TestClient
from PIL import Image
from serving_support import WORD

from strhub.serving.app import create_app
from strhub.serving.options import ServeOptions


@pytest.fixture(scope="session")
def word() -> bytes:
    """The file of an image that says `clock`."""
    return WORD.read_bytes()


@pytest.fixture(scope="session")
def words() -> dict[str, bytes]:
    """The files of the demonstration images, by name."""
    return {path.name: path.read_bytes() for path in sorted(Path("demo_images").glob("*.png"))}


@pytest.fixture(scope="session")
def large() -> bytes:
    """A file of a few kilobytes with 60 million pixels."""
    file = io.BytesIO()
    Image.new("1", (10_000, 6_000)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    """A service with both embedded models."""
    names = ("strhub-small", "strhub-tiny")
    # A busy machine takes long for a photograph.
    options = ServeOptions(models=names, max_images=8, max_photos=2, timeout=280)
    with TestClient(create_app(options)) as running:
        yield running
