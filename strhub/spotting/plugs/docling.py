"""An OCR engine for docling, which finds it by the entry point `docling`.

    options = PdfPipelineOptions(ocr_options=StrhubOcrOptions(), allow_external_plugins=True)

docling alone imports this.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Literal

from docling.datamodel.base_models import Page
from docling.datamodel.document import ConversionResult
from docling.datamodel.pipeline_options import OcrOptions
from docling.models.base_ocr_model import BaseOcrModel
from docling.utils.profiling import TimeRecorder
from docling_core.types.doc import BoundingBox, CoordOrigin
from docling_core.types.doc.page import BoundingRectangle, TextCell

from strhub.inference.recognizer import EMBEDDED
from strhub.spotting.page import Line, Quad
from strhub.spotting.spotter import Spotter

__all__ = ["StrhubOcrModel", "StrhubOcrOptions", "ocr_engines"]


class StrhubOcrOptions(OcrOptions):  # type: ignore[misc]  # docling is not there to be checked
    """model: what reads, as `Recognizer` takes it; scale: pixels a point of 1/72 inch."""

    kind: ClassVar[Literal["strhub"]] = "strhub"
    canonicalize_lang: ClassVar[bool] = False
    lang: list[str] = []  # noqa: RUF012 (pydantic copies it)
    model: str = EMBEDDED
    scale: float = 3.0


class StrhubOcrModel(BaseOcrModel):  # type: ignore[misc]
    """Read those parts of pages that docling asks for, line by line."""

    def __init__(
        self,
        *,
        enabled: bool,
        artifacts_path: Any,
        options: StrhubOcrOptions,
        accelerator_options: Any,
    ) -> None:
        super().__init__(
            enabled=enabled,
            artifacts_path=artifacts_path,
            options=options,
            accelerator_options=accelerator_options,
        )
        self.spotter: Spotter | None = None
        if enabled:
            threads = accelerator_options.num_threads
            self.spotter = Spotter(reader=options.model, keep_images=False, threads=threads)

    def __call__(self, conv_res: ConversionResult, page_batch: Iterable[Page]) -> Iterable[Page]:
        """Yield the pages, with the cells that were read added to each."""
        for page in page_batch:
            if self.spotter is not None and page._backend.is_valid():
                with TimeRecorder(conv_res, "ocr"):
                    cells = list(self._cells(page, self.spotter))
                    for index, cell in enumerate(cells):
                        cell.index = index
                    self.post_process_cells(cells, page, conv_res)
            yield page

    def _cells(self, page: Page, spotter: Spotter) -> Iterator[TextCell]:
        for part in self.get_ocr_rects(page):
            if part.area() == 0:
                continue
            scale = self.options.scale
            image = page._backend.get_page_image(scale=scale, cropbox=part)
            for line in spotter(image).lines:
                yield _cell(line, part, scale)

    @classmethod
    def get_options_type(cls) -> type[StrhubOcrOptions]:
        """Return the options by which docling chooses this engine."""
        return StrhubOcrOptions


def _cell(line: Line, part: BoundingBox, scale: float) -> TextCell:
    """Return a line as docling has it: its corners in points of the page, from the lower left one
    on.
    """
    corners: Quad = (line.quad[3], line.quad[2], line.quad[1], line.quad[0])
    corners_of_cell = {
        f"r_{axis}{number}": value / scale + begin
        for number, corner in enumerate(corners)
        for axis, value, begin in zip("xy", corner, (part.l, part.t), strict=True)
    }
    rect = BoundingRectangle(**corners_of_cell, coord_origin=CoordOrigin.TOPLEFT)
    return TextCell(
        index=0,
        text=line.text,
        orig=line.text,
        from_ocr=True,
        confidence=line.confidence,
        rect=rect,
    )


def ocr_engines() -> dict[str, list[type[StrhubOcrModel]]]:
    """Tell docling what there is: its entry point calls this."""
    return {"ocr_engines": [StrhubOcrModel]}
