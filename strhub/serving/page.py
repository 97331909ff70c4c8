"""The demonstration page: static files of this package, and what they ask for beside the service's
own routes. Nothing is fetched from anywhere else.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

import strhub
from strhub.serving.batching import Queue
from strhub.serving.explaining import Explainer
from strhub.serving.refusals import Refusal
from strhub.serving.service import Service

__all__ = ["EXAMPLES", "add_page"]

EXAMPLES: Final = ("street.jpg", "01.png", "02.png", "05.png", "06.png", "07.png")
_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "jpg": "image/jpeg",
}
_FILES: Final = (
    "style.css",
    "main.js",
    "ask.js",
    "cards.js",
    "drawing.js",
    "camera.js",
    "icon.svg",
)
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
}


def add_page(app: FastAPI, service: Service) -> None:
    """Serve the page at `/`."""
    explainers = {name: Explainer(model) for name, model in service.models.items()}
    queues = {
        name: Queue("explain", explainer, 1, 4, service.options.max_queue)
        for name, explainer in explainers.items()
    }
    _add_file(app, "/", "index.html")
    for name in _FILES:
        _add_file(app, f"/page/{name}", name)
    for name in EXAMPLES:
        _add_file(app, f"/page/examples/{name}", f"examples/{name}")

    @app.get("/page/state", include_in_schema=False)
    async def state() -> Response:
        """Return what the page lets one choose."""
        models = [
            {**model, "explains": explainers[model["name"]].kind}
            for model in service.list_models()["models"]
        ]
        content: dict[str, Any] = {
            "version": strhub.__version__,
            "models": models,
            "examples": list(EXAMPLES),
            "max_bytes": service.options.max_bytes,
        }
        return JSONResponse(content)

    @app.post("/page/explain", include_in_schema=False)
    async def explain(request: Request) -> Response:
        """Return where a model looked in an image of a word."""
        name = request.query_params.get("model", service.default)
        if name not in queues or explainers[name].kind is None:
            raise Refusal(422, "unknown_model", "this model has nothing to show")
        return JSONResponse((await service.results(request, queues[name]))[0])


def _add_file(app: FastAPI, path: str, name: str) -> None:
    content = (files("strhub") / "serving" / "static" / name).read_bytes()
    kind = _TYPES[name.rpartition(".")[2]]

    async def send() -> Response:
        return Response(content, media_type=kind, headers=_HEADERS)

    app.add_api_route(path, send, methods=["GET", "HEAD"], include_in_schema=False)
