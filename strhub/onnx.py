"""`strhub.onnx.Recognizer` reads exported models: the short public address of
`strhub.inference.onnx_engine`.
"""

from strhub.utils.moved import moved

__getattr__ = moved(__name__, "strhub.inference.onnx_engine")
