"""What OpenAPI says of the service."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from strhub.serving import schemas

__all__ = ["DESCRIPTION", "body_of", "describe", "responses"]

_REFUSED: Final = {
    401: "There is no API key, or a wrong one.",
    408: "The body came too slowly.",
    413: "The body is too large.",
    415: "The body is of another kind.",
    422: "The body is damaged, has no image, too many images or pixels, or an unknown model.",
    429: "The queue is full: Retry-After says when to try again.",
    500: "The service failed.",
    503: "There is too much to do, or it took too long.",
}
DESCRIPTION: Final = """Read words in images. Bodies are JSON with base64, `multipart/form-data`, or
one image's own bytes. Every result has the index and the name of its image; one that cannot be
read has `error` set and does not fail the others. Requests of all clients are read together."""
_QUERY: Final = [
    {
        "name": name,
        "in": "query",
        "required": False,
        "schema": {"type": "string"},
        "description": f"The {name}, if the body does not name it.",
    }
    for name in ("model", "decoding")
]


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the descriptions of refusals."""
    return {
        status: {"model": schemas.Failure, "description": _REFUSED[status]} for status in statuses
    }


def body_of(images: str, *, fields: tuple[str, ...]) -> dict[str, Any]:
    """Return a body's description. images: what they are; fields: that there are beside them."""
    image = {"schema": {"type": "string", "format": "binary"}}
    form = {
        "type": "object",
        "properties": {
            "images": {
                "type": "array",
                "minItems": 1,
                "items": {"type": "string", "format": "binary"},
                "description": images,
            },
            **{name: {"type": "string"} for name in fields},
        },
        "required": ["images"],
        "additionalProperties": False,
    }
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/Batch"}},
                "multipart/form-data": {"schema": form},
                "image/png": image,
                "image/jpeg": image,
            },
        },
        "parameters": [one for one in _QUERY if one["name"] in fields],
    }


def describe(app: FastAPI, *, keys: bool) -> dict[str, Any]:
    """Return the description of the application. keys: whether it asks for one."""
    if app.openapi_schema is None:
        whole = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        batch = schemas.Batch.model_json_schema(ref_template="#/components/schemas/{model}")
        components = whole["components"]
        components["schemas"] |= {**batch.pop("$defs"), "Batch": batch}
        if keys:
            components["securitySchemes"] = {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            }
            whole["security"] = [{"bearer": []}, {"key": []}]
        app.openapi_schema = whole
    return app.openapi_schema
