"""Within docling: by a stand-in for its classes, and by itself where it is installed."""

from __future__ import annotations

import importlib
import sys
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from strhub.spotting.spotter import Spotter

ROOT = Path(__file__).resolve().parents[2]
PLUG = "strhub.spotting.plugs.docling"
PHOTO = ROOT / "docs" / "figures" / "street.jpg"


class Backend:
    """A page of docling's with a photograph on it; its points are the image's pixels."""

    def __init__(self, image: Image.Image) -> None:
        self.image = image

    def is_valid(self) -> bool:
        return True

    def get_page_image(self, scale: float, cropbox: Any) -> Image.Image:
        box = tuple(map(round, (cropbox.l, cropbox.t, cropbox.r, cropbox.b)))
        part = self.image.crop(box)
        return part.resize((round(part.width * scale), round(part.height * scale)))


class Base:
    """What docling's base class does, as far as an engine asks for it."""

    def __init__(self, **options: Any) -> None:
        self.options = options["options"]

    def get_ocr_rects(self, page: Any) -> list[Any]:
        return [page.part, SimpleNamespace(area=lambda: 0)]

    def post_process_cells(self, cells: Any, page: Any, conv_res: Any) -> None:
        page.cells = cells


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The plug with plain classes in the place of docling's."""

    class Options:
        def __init__(self, **options: Any) -> None:
            vars(self).update(options)

    contents: dict[str, dict[str, Any]] = {
        "docling": {},
        "docling.datamodel": {},
        "docling.datamodel.base_models": {"Page": SimpleNamespace},
        "docling.datamodel.document": {"ConversionResult": SimpleNamespace},
        "docling.datamodel.pipeline_options": {"OcrOptions": Options},
        "docling.models": {},
        "docling.models.base_ocr_model": {"BaseOcrModel": Base},
        "docling.utils": {},
        "docling.utils.profiling": {"TimeRecorder": lambda *_: nullcontext()},
        "docling_core": {},
        "docling_core.types": {},
        "docling_core.types.doc": {
            "BoundingBox": SimpleNamespace,
            "CoordOrigin": SimpleNamespace(TOPLEFT="TOPLEFT"),
        },
        "docling_core.types.doc.page": {
            "BoundingRectangle": SimpleNamespace,
            "TextCell": SimpleNamespace,
        },
    }
    for name, content in contents.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, PLUG, raising=False)
    yield importlib.import_module(PLUG)
    sys.modules.pop(PLUG, None)


def test_lines_become_cells_at_their_place(stand_in: Any) -> None:
    image = Image.open(PHOTO).convert("RGB").crop((0, 0, 640, 300))
    part = SimpleNamespace(l=10, t=20, r=image.width, b=image.height, area=lambda: 1)
    (engine,) = stand_in.ocr_engines()["ocr_engines"]
    options = engine.get_options_type()(lang=[])
    model = engine(
        enabled=True,
        artifacts_path=None,
        options=SimpleNamespace(**{**vars(options), "model": options.model, "scale": 1.0}),
        accelerator_options=SimpleNamespace(num_threads=1),
    )
    page = SimpleNamespace(_backend=Backend(image), part=part)
    assert list(model(None, [page])) == [page]
    lines = Spotter(threads=1)(image.crop((10, 20, *image.size))).lines
    assert [cell.text for cell in page.cells] == [line.text for line in lines]
    assert [cell.index for cell in page.cells] == list(range(len(lines)))
    first, line = page.cells[0], lines[0]
    assert first.from_ocr
    assert first.confidence == line.confidence
    lower_left, upper_right = line.quad[3], line.quad[1]
    assert (first.rect.r_x0, first.rect.r_y0) == (lower_left[0] + 10, lower_left[1] + 20)
    assert (first.rect.r_x2, first.rect.r_y2) == (upper_right[0] + 10, upper_right[1] + 20)


def test_one_that_is_off_passes_pages_on(stand_in: Any) -> None:
    (engine,) = stand_in.ocr_engines()["ocr_engines"]
    model = engine(enabled=False, artifacts_path=None, options=None, accelerator_options=None)
    assert list(model(None, ["page"])) == ["page"]


def test_the_package_names_it_to_docling() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")  # tomllib is not in Python 3.10
    assert f'[project.entry-points.docling]\nstrhub = "{PLUG}"\n' in text


def test_docling_itself_loads_it_and_reads_with_it() -> None:
    pytest.importorskip("docling")
    from docling.datamodel.accelerator_options import AcceleratorOptions
    from docling.datamodel.base_models import Page
    from docling.datamodel.document import ConversionResult, InputDocument
    from docling.datamodel.pipeline_options import OcrMode
    from docling.models.factories.ocr_factory import OcrFactory
    from docling_core.types.doc import Size

    plug = importlib.import_module(PLUG)
    factory = OcrFactory()
    factory.process_plugin(plug.ocr_engines(), "strhub", PLUG)
    options = factory.create_options("strhub", mode=OcrMode.FULL_PAGE, scale=1.0)
    model = factory.create_instance(
        options,
        enabled=True,
        artifacts_path=None,
        accelerator_options=AcceleratorOptions(num_threads=1),
    )
    image = Image.open(PHOTO).convert("RGB")
    page = Page(page_no=1, size=Size(width=image.width, height=image.height))
    page._backend = Backend(image)
    result = ConversionResult.model_construct(
        input=InputDocument.model_construct(file=PHOTO),
        **{
            name: field.get_default(call_default_factory=True)
            for name, field in ConversionResult.model_fields.items()
            if name != "input" and not field.is_required()
        },
    )
    (read,) = model(result, [page])
    texts = {cell.text.replace(" ", "") for cell in read.cells}
    assert {"KINGSTREET", "HarbourBooks", "CornerCafe", "BAKERY"} <= texts
    assert all(0 < cell.confidence <= 1 and cell.from_ocr for cell in read.cells)
