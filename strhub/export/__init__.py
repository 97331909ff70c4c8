"""Models to ONNX: one file that holds the network, how it decodes, and what its numbers mean.

In: a `SceneTextModel`. Out: a file that `strhub.inference.onnx_engine.Recognizer` reads without
PyTorch, and that any ONNX runtime runs. Needs the packages of strhub[export].
"""

from strhub.export.checking import largest_difference
from strhub.export.writing import PRECISIONS, export, export_beside

__all__ = ["PRECISIONS", "export", "export_beside", "largest_difference"]
