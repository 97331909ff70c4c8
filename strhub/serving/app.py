"""The application: routes, what OpenAPI says of them, and the errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

import strhub
from strhub.serving import schemas
from strhub.serving.description import DESCRIPTION, body_of, describe, responses
from strhub.serving.guard import Guard
from strhub.serving.metrics import TEXT_TYPE
from strhub.serving.options import ServeOptions
from strhub.serving.refusals import Refusal
from strhub.serving.service import Service

__all__ = ["create_app"]


def create_app(
    options: ServeOptions | None = None, service: Service | None = None, *, page: bool = False
) -> FastAPI:
    """Return the application, its models loaded.

    service: what answers, by default one with these options. page: serve the demonstration page at
        `/`, too.

    Raises:
        ValueError: if a model cannot be loaded, or an option is out of range.
    """
    service = service or Service(options or ServeOptions())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            service.close()

    app = FastAPI(
        title="strhub",
        version=strhub.__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # its pages are fetched from elsewhere
        redoc_url=None,
    )
    app.state.service = service
    app.openapi = partial(describe, app, service)  # type: ignore[method-assign]
    _add_routes(app, service)
    _add_health(app, service)
    if page:
        from strhub.serving.page import add_page

        add_page(app, service)
    _add_errors(app)
    paths = {route.path for route in app.routes if hasattr(route, "path")}
    app.add_middleware(Guard, options=service.options, metrics=service.metrics, paths=paths)
    if service.options.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(service.options.cors_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key", "X-Request-ID"],
            expose_headers=["Retry-After", "X-Request-ID"],
        )
    return app


def _add_routes(app: FastAPI, service: Service) -> None:
    limits = service.options
    refused = responses(401, 408, 413, 415, 422, 429, 500, 503)

    @app.post(
        "/read",
        summary="Read words",
        response_model=schemas.ReadAnswer,
        responses=refused,
        openapi_extra=body_of("Batch", max_images=limits.max_images, fields=("model", "decoding")),
    )
    async def read(request: Request) -> Response:
        """Read images of a word each, or of a line where `decoding` is `lines`."""
        return JSONResponse(await service.read(request))

    @app.post(
        "/spot",
        summary="Read photographs",
        response_model=schemas.SpotAnswer,
        responses=refused,
        openapi_extra=body_of("Photos", max_images=limits.max_photos, fields=("model",)),
    )
    async def spot(request: Request) -> Response:
        """Find the words of photographs and pages, read them, and put them in order."""
        return JSONResponse(await service.spot(request))

    @app.get("/models", response_model=schemas.Models, responses=responses(401))
    async def models() -> Response:
        """Return the models that are served, the default one first."""
        return JSONResponse(service.list_models())

    @app.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}, **responses(401)},
    )
    async def metrics() -> Response:
        """Return the numbers that Prometheus collects."""
        return Response(service.metrics.text(), media_type=TEXT_TYPE)


def _add_health(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", response_model=schemas.Status)
    async def healthz() -> Response:
        """Return 200 while the service is alive."""
        return JSONResponse({"status": "alive"})

    @app.get(
        "/readyz",
        response_model=schemas.Status,
        responses={503: {"model": schemas.Status, "description": "It loads, or is stopping."}},
    )
    async def readyz() -> Response:
        """Return 200 while the service reads."""
        ready = service.ready
        return JSONResponse(
            {"status": "ready" if ready else "not ready"}, status_code=200 if ready else 503
        )


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(Refusal)
    async def refused(request: Request, error: Refusal) -> Response:
        return JSONResponse(error.body, error.status, error.headers)

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> Response:
        codes = {404: "not_found", 405: "wrong_method"}
        refusal = Refusal(error.status_code, codes.get(error.status_code, "bad"), error.detail)
        return JSONResponse(refusal.body, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        refusal = Refusal(
            422, "bad_request", "the request does not match the description in /openapi.json"
        )
        return JSONResponse(refusal.body, 422)
