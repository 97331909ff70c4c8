"""Read words: the recognizer, its engines (PyTorch, ONNX Runtime), beam search and re-reading."""
