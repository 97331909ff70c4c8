"""What OpenAPI says of the service."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from strhub.serving import schemas
from strhub.serving.service import Service

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
_BASE64: Final = "^(data:[^,]*,)?([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
_FIELDS: Final = {"model": "ModelName", "decoding": "Decoding"}


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the descriptions of refusals."""
    return {
        status: {"model": schemas.Failure, "description": _REFUSED[status]} for status in statuses
    }


def body_of(name: str, *, max_images: int, fields: tuple[str, ...]) -> dict[str, Any]:
    """Return a body's description. name: of its schema as JSON; fields: that there are beside the
    images.
    """
    image = {"schema": {"type": "string", "format": "binary"}}
    form = {
        "type": "object",
        "properties": {
            "images": {
                "type": "array",
                "minItems": 1,
                "maxItems": max_images,
                "items": {"type": "string", "format": "binary"},
            },
            **{field: _reference(_FIELDS[field]) for field in fields},
        },
        "required": ["images"],
        "additionalProperties": False,
    }
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": _reference(name)},
                "multipart/form-data": {"schema": form},
                "image/png": image,
                "image/jpeg": image,
            },
        },
        "parameters": [
            {
                "name": field,
                "in": "query",
                "required": False,
                "schema": _reference(_FIELDS[field]),
                "description": f"The {field}, if the body does not name it.",
            }
            for field in fields
        ],
    }


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _bodies(service: Service) -> dict[str, Any]:
    """Return the schemas of bodies in JSON, with the names and the limits of a service."""
    properties: dict[str, Any] = {
        "name": {"type": "string", "maxLength": 255},
        "data": {
            "type": "string",
            "contentEncoding": "base64",
            "pattern": _BASE64,
            "description": "The image's file; a data URL will do.",
        },
    }
    image: dict[str, Any] = {"type": "object", "additionalProperties": False}
    if service.options.allow_urls:
        properties["url"] = {"type": "string", "maxLength": 2000, "pattern": "^https?://"}
        image["oneOf"] = [{"required": ["data"]}, {"required": ["url"]}]
    else:
        image["required"] = ["data"]
    decodings = dict.fromkeys(
        decoding for model in service.models.values() for decoding in model.decodings
    )
    example = {"images": [{"name": "a.png", "data": schemas.PIXEL}]}
    found = {
        "ModelName": {"type": "string", "enum": list(service.models)},
        "Decoding": {"type": "string", "enum": list(decodings)},
        "Image": {**image, "properties": properties},
    }
    limits = {"Batch": service.options.max_images, "Photos": service.options.max_photos}
    for name, limit in limits.items():
        fields = ("model", "decoding") if name == "Batch" else ("model",)
        images = {"type": "array", "minItems": 1, "maxItems": limit, "items": _reference("Image")}
        found[name] = {
            "type": "object",
            "properties": {
                "images": images,
                **{field: _reference(_FIELDS[field]) for field in fields},
            },
            "required": ["images"],
            "additionalProperties": False,
            "examples": [example],
        }
    return found


def describe(app: FastAPI, service: Service) -> dict[str, Any]:
    """Return the description of an application."""
    if app.openapi_schema is None:
        whole = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        components = whole["components"]
        components["schemas"] |= _bodies(service)
        if service.options.keys:
            components["securitySchemes"] = {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            }
            whole["security"] = [{"bearer": []}, {"key": []}]
        app.openapi_schema = whole
    return app.openapi_schema
