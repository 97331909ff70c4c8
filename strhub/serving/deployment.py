"""The same application on several machines: `serve run strhub.serving.deployment:app`, of Ray.

Options come from the environment of that command, as JSON in STRHUB_SERVE: those of
`ServeOptions`, such as `{"models": ["strhub-small", "strhub-tiny"], "threads": 4}`; a key in
STRHUB_API_KEY. Batches are made within each replica.
"""

from __future__ import annotations

import json
import os
from typing import Any, Final

from strhub.errors import ConfigError
from strhub.serving.app import create_app
from strhub.serving.options import KEY_VARIABLE, ServeOptions
from strhub.utils.options import check_options
from strhub.utils.telemetry import switch_off_telemetry

switch_off_telemetry()  # before Ray is imported

from ray import serve  # noqa: E402

__all__ = ["app", "application", "options_of_environment"]

VARIABLE: Final = "STRHUB_SERVE"
_THREADS: Final = 2  # of a replica
_MOST_REPLICAS: Final = 8


def options_of_environment() -> ServeOptions:
    """Return the options of this process.

    Raises:
        ConfigError: for what is not a JSON object, or an unknown or wrong option.
    """
    try:
        values = json.loads(os.environ.get(VARIABLE, "{}"))
    except ValueError as error:
        raise ConfigError(f"{VARIABLE} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{VARIABLE} is not a JSON object")
    check_options(values, list(ServeOptions.__dataclass_fields__), VARIABLE)
    for name in ("models", "cors_origins"):
        if name in values:
            values[name] = tuple(values[name])
    values.setdefault("threads", _THREADS)
    if key := os.environ.get(KEY_VARIABLE, "").strip():
        values["keys"] = frozenset({key})
    return ServeOptions(**values)


def application(options: ServeOptions) -> Any:
    """Return the application as Ray Serve deploys it: replicas with models of their own.

    Its numbers of replicas and processors can be changed by Ray's own configuration.
    """

    def build() -> Any:  # in each replica; what is no plain function would be taken for the app
        return create_app(options)

    replica = serve.ingress(build)()
    deployment = serve.deployment(
        replica,
        name="strhub",
        ray_actor_options={"num_cpus": options.processors},
        autoscaling_config={
            "min_replicas": 1,
            "max_replicas": _MOST_REPLICAS,
            "target_ongoing_requests": options.batch_size,
        },
        max_ongoing_requests=options.max_requests,
        graceful_shutdown_timeout_s=options.drain_timeout,
    )
    return deployment.bind()


app: Any = application(options_of_environment())
