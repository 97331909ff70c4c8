"""What bulk reading takes for a reader when it reads whole photographs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from strhub.inference.recognizer import Reading

if TYPE_CHECKING:
    from strhub.spotting.page import Page
    from strhub.spotting.spotter import Spotter


@dataclass(frozen=True)
class PhotoReaders:
    """Make readers of photographs, in whichever process they are needed.

    model: id or path; threads: of each; as_json: whether the text of a reading is the page as JSON,
    with all words and where they are.
    """

    model: str
    threads: int | None
    as_json: bool

    def __call__(self) -> PhotoReader:
        """Return a reader."""
        from strhub.spotting.spotter import Spotter

        spotter = Spotter(reader=self.model, threads=self.threads, keep_images=False)
        return PhotoReader(spotter, as_json=self.as_json)


class PhotoReader:
    """Read photographs as bulk reading has crops read: a `Reading` for each."""

    def __init__(self, spotter: Spotter, *, as_json: bool) -> None:
        self.batch_size: int = 16
        self.spotter, self.as_json = spotter, as_json

    def __call__(self, inputs: Any) -> list[Reading]:
        """Return the readings of images, in their order."""
        return [self._reading(page) for page in self.spotter.read(inputs)]

    def _reading(self, page: Page) -> Reading:
        if page.error is not None:
            return Reading("", 0.0, error=page.error)
        text = page.export("json") if self.as_json else page.text
        characters = [sure for word in page.words for sure in word.character_confidences]
        return Reading(text, page.confidence, tuple(characters))
