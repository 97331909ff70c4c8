"""The files that the reference has released: known by name, and by the hash that each name
holds.
"""

RELEASES = "https://github.com/baudm/parseq/releases/download/v1.0.0/"
# The last eight characters before the suffix begin the file's SHA-256.
RELEASED_FILES = {
    "parseq-tiny": "parseq_tiny-e7a21b54.pt",
    "parseq": "parseq-bb5792a6.pt",
    "parseq-patch16-224": "parseq_small_patch16_224-fcf06f5a.pt",
    "abinet": "abinet-1d1e373e.pt",
    "trba": "trba-cfaed284.pt",
    "vitstr": "vitstr-26d0fcf4.pt",
    "crnn": "crnn-679d0e31.pt",
}
