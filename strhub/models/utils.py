"""The address that the reference uses for `load_from_checkpoint`, `create_model` and
`parse_model_args`.
"""

from strhub.utils.moved import moved

__getattr__ = moved(__name__, "strhub.checkpoint.zoo", "strhub.cli.arguments")
