"""A charset by its name, from a dictionary file, or from the labels of a data set.

In: what an option says. Out: a charset. Files and folders are told by an `@` before their path.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, MutableMapping
from pathlib import Path
from typing import Any, Final

from strhub.configs import CONFIG_DIR
from strhub.data.sources.annotation_files import FORMAT_OF_SUFFIX, OTHER_NAMES
from strhub.data.sources.annotations import ANNOTATION_NAMES
from strhub.data.sources.folder import FolderWords, find_annotated
from strhub.data.sources.lmdb import LmdbWords, find_lmdbs
from strhub.errors import DataError
from strhub.text.charset import CHARSET_94, check_charset
from strhub.utils.regular_files import MAX_LIST_BYTES, read_regular

__all__ = ["count_characters", "expand_charsets", "named_charset", "read_charset", "sorted_charset"]

FROM_FILE: Final = "@"
OPTIONS: Final = ("charset_train", "charset_test")


def named_charset(name: str) -> str:
    """Return the charset that an option means.

    That of a configuration such as `94_full`, what `@` and a path lead to (see `read_charset`), or
    the text itself.
    """
    import yaml

    path = CONFIG_DIR / "charset" / f"{name}.yaml"
    if name and name in {known.stem for known in path.parent.glob("*.yaml")}:
        return str(yaml.safe_load(path.read_text("utf-8"))["model"]["charset_train"])
    if len(name) > 1 and name.startswith(FROM_FILE):
        return read_charset(name[1:])
    return name


def expand_charsets(options: MutableMapping[str, Any]) -> None:
    """Put the charset in the place of each `@path` among the options of a model.

    Raises:
        DataError: if there is no such path, or no charset in it.
    """
    for option in OPTIONS:
        value = options.get(option)
        if isinstance(value, str) and len(value) > 1 and value.startswith(FROM_FILE):
            if not Path(value[1:]).exists():
                raise DataError(
                    f"{option}: there is no file or folder {value[1:]}. To use these characters "
                    "themselves, do not "
                    "begin with the @"
                )
            options[option] = read_charset(value[1:])


def read_charset(source: str | Path) -> str:
    """Return the charset of a dictionary file, or the characters of all labels of a data set,
    sorted.

    source: a text file with one character a line, or all in one line; a label file as `Annotations`
        takes it; or a folder with LMDB folders or such files at or below it.

    Raises:
        DataError: if there is nothing of the kind.
    """
    path = Path(source)
    if path.is_dir() or path.name in (*ANNOTATION_NAMES, *OTHER_NAMES):
        return sorted_charset(count_characters(path))
    if FORMAT_OF_SUFFIX.get(path.suffix.lower(), "gt") != "gt":
        return sorted_charset(count_characters(path))
    return _read_dictionary(path)


def count_characters(source: str | Path) -> Counter[str]:
    """Return how often each character occurs in the labels of a data set; of white space, spaces
    within labels only.

    Raises:
        DataError: if there are no labels.
    """
    path = Path(source)
    sets: list[LmdbWords | FolderWords] = []
    if path.is_dir():
        sets += [LmdbWords(folder) for folder in find_lmdbs(path)]
        sets += [FolderWords(file) for file in find_annotated(path)]
    else:
        sets.append(FolderWords(path))
    counts = Counter[str]()
    for words in sets:
        counts += _counted(words.labels)
    if not counts:
        raise DataError(f"{path}: there are no labels in it to take a charset from")
    return counts


def sorted_charset(characters: Iterable[str]) -> str:
    """Return a charset of these characters: those of ASCII in the usual order, then others by
    number, then a space.
    """
    found = set(characters)
    ascii_part = [character for character in CHARSET_94 if character in found]
    others = sorted(found - set(CHARSET_94) - {" "})
    # Marks come first, since after a letter they would be parts of it.
    marks = [character for character in others if unicodedata.combining(character)]
    letters = [character for character in others if not unicodedata.combining(character)]
    return check_charset(
        _plain("".join((*marks, *ascii_part, *letters, *(" " if " " in found else ""))))
    )


def _counted(labels: Iterable[str]) -> Counter[str]:
    counts = Counter[str]()
    for label in labels:
        counts.update(" ".join(unicodedata.normalize("NFC", label).split()))
    for character in list(counts):
        if unicodedata.category(character) in ("Cc", "Cf"):
            del counts[character]
    return counts


def _read_dictionary(path: Path) -> str:
    try:
        text = read_regular(path, max_bytes=MAX_LIST_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise DataError(
            f"the charset's file {path} cannot be read: {error.strerror or error}"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"the charset's file {path} is not UTF-8: save it as UTF-8") from error
    lines = [line for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n") if line]
    found = lines if len(lines) > 1 else list(lines[0] if lines else "")
    for number, line in enumerate(found, 1):
        if len(unicodedata.normalize("NFC", line)) > 1:
            raise DataError(
                f"the charset's file {path} holds {line[:20]!r} as entry {number}: it must have "
                "one character a line. "
                "For the characters of labels, name a label file or a folder of words"
            )
    charset = "".join(dict.fromkeys(unicodedata.normalize("NFC", line) for line in found))
    try:
        return check_charset(_plain(charset))
    except ValueError as error:
        raise DataError(f"the charset's file {path}: {error}") from error


def _plain(charset: str) -> str:
    """Return a charset in which nothing looks like a reference of a configuration, `${`."""
    return charset.replace("$", "") + "$" if "${" in charset else charset
