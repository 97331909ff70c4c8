"""Statistics of use that libraries send to their makers: off here, before any of them is imported.

Reading, evaluating and training open no connection of their own accord. Some libraries do, unless a
variable of the environment says otherwise before their first import; `ONNX Runtime`, in addition,
writes an identifier of the device below the home folder. Whoever wants a library to send what it
sends sets its variable, which is then left as it is.
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import Final

__all__ = ["SWITCHES", "import_onnxruntime", "switch_off_telemetry"]

SWITCHES: Final = {
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime
    "RAY_USAGE_STATS_ENABLED": "0",  # Ray
    "RAY_USAGE_STATS_PROMPT_ENABLED": "0",  # and what it prints about that
    "HF_HUB_DISABLE_TELEMETRY": "1",  # Hugging Face's hub, which open_clip and timm bring
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "WANDB_ERROR_REPORTING": "false",  # crash reports; what it logs is what it was asked for
    "GRADIO_ANALYTICS_ENABLED": "False",
    "DO_NOT_TRACK": "1",  # what several other libraries ask for
}
"""Variables of the environment, each with the value that keeps a library quiet."""


def switch_off_telemetry() -> None:
    """Set the variables of `SWITCHES` that are not set, for this process and those that it
    starts.
    """
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)


def import_onnxruntime() -> ModuleType:
    """Return onnxruntime with its telemetry off, by its variable and, if it was imported before, by
    its function.

    Raises:
        ModuleNotFoundError: if it is not installed.
    """
    switch_off_telemetry()
    import onnxruntime

    disable = getattr(onnxruntime, "disable_telemetry_events", None)
    if disable is not None and os.environ["ORT_DISABLE_TELEMETRY"] != "0":
        disable()
    module: ModuleType = onnxruntime
    return module
