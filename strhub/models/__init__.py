"""The recognizers, one folder each: `model.py` is the network (tensors in, tensors out),
`system.py` its training.

A folder's `__init__` exports its network as `Network`, which is how the zoo finds it.
"""
