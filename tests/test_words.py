"""The words of the code and the documents: American spelling, and one word for each thing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("benchmarks", "docs", "strhub", "tests", "tools")
BRITISH = re.compile(
    r"recognis|normalis|initialis|optimis(?!t)|colour|neighbour|centre|grey|behaviour|memoris|serialis|summaris"
    r"|minimis|maximis|quantis|regularis|tokenis|labelled|labeller|modelling|learnt|spelt",
    re.IGNORECASE,
)
KEPT = re.compile(
    # options and keys in people's files
    r"sign_colours|\"neighbours\"|\bneighbours: |unlabelled|length_normalisation"
)
OLD = re.compile(
    r"\bpictures?\b(?![:/=])|\bdrawn (words?|texts?)\b|\bsecond look\b"
    r"|\blook(?:s|ed|ing)? (?:\w+ ){0,2}again\b",  # re-reading
    re.IGNORECASE,
)
# Words of identifiers, in any case, between underscores or capitals.
OLD_PARTS = {"picture", "pictures", "drawn", "given", "place", "places", "share", "shares"}
# Words that only we understood, in code that is not a test.
PRIVATE_PARTS = {"told", "untold", "alike", "wishes", "lent", "strung", "crosswise", "misfit"}
ALLOWED = {
    "given",  # of hypothesis
    "DrawnWords", "pictures", "untold", "_drawn", "drawn", "val_share",  # former names
    "place", "place_as_before", "put_in_place",  # to put something somewhere
    "share_memory_",  # of PyTorch
}  # fmt: skip
# Words that docstrings of functions began with before they began with a verb.
NO_VERBS = {
    "The", "A", "An", "One", "Two", "Each", "Every", "All", "Both", "Any", "No", "None",
    "Nothing", "Everything", "Whether", "What", "How", "Where", "Which", "Whoever", "When",
    "If", "As", "At", "By", "For", "From", "In", "Into", "Of", "On", "Over", "Through", "To",
    "Until", "Up", "With", "Within", "Without", "Like", "And", "Or", "Not", "Less", "More",
    "Other", "Its", "Their", "Our", "Own", "Same", "Image", "Word", "Text", "Line", "Batch",
    "Latency", "Median", "Mean", "Percent", "Fraction", "Accuracy", "Height", "Width", "Number",
    "Value", "Folder", "Path", "Noise", "Optimizer", "Around", "Standard", "Whole", "Frozen",
    "Plain", "Random", "Turned", "Scaled", "Blurred", "Normalized", "Seen",
}  # fmt: skip
CODE = re.compile(r"^```.*?^```|`[^`]*`", re.MULTILINE | re.DOTALL)


def files(*endings: str) -> list[Path]:
    """Return the project's files with one of these endings; data sets and this list are left
    out.
    """
    below = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))
    found = [
        path
        for path in (*ROOT.glob("*"), *below)
        if path.suffix in endings and "golden" not in path.parts
    ]
    return sorted(
        path
        for path in found
        if path.is_file() and path != Path(__file__) and path.parent.name != "fonts"
    )


def first_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the first line of each docstring, and its number."""
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        text = line.lstrip()
        if text.startswith('"""'):
            yield number, text


def identifiers(path: Path) -> set[str]:
    """Return the names in a file's code: variables, arguments, attributes, functions, classes."""
    names = {path.stem}
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.arg | ast.keyword) and node.arg:
            names.add(node.arg)
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
    return names


def begins_with_a_verb(document: str) -> bool:
    """Return whether a docstring may begin with a verb in the imperative: not with an article, a
    question word, a preposition, a plural, the third person, code or a shape.
    """
    first = document.split()[0].rstrip(",.:;")
    if not re.fullmatch(r"[A-Z][a-z]+(-[a-z]+)?", first) or first in NO_VERBS:
        return False
    return not first.endswith("s") or first.endswith("ss")


def parts(name: str) -> set[str]:
    """Return the words of an identifier, in small letters."""
    return {part.lower() for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def words_of_old(path: Path) -> set[str]:
    """Return the parts that no identifier of a file may have."""
    tested = "tests" in path.relative_to(ROOT).parts
    return OLD_PARTS if tested else OLD_PARTS | PRIVATE_PARTS


def test_the_lists_catch_old_words() -> None:
    for text in ("Normalised colour", "the recogniser", "misspelt", "greyscale"):
        assert BRITISH.search(text), text
    for text in ("A picture of a word", "drawn words", "Pictures"):
        assert OLD.search(text), text
    for text in ("an optimist reads rendered words", "pictures/of/words"):
        assert not BRITISH.search(text)
        assert not OLD.search(text)


def test_spelling_is_american() -> None:
    paths = files(".md", ".py", ".toml", ".yaml")
    assert len(paths) > 300
    wrong = [str(path.relative_to(ROOT)) for path in paths if BRITISH.search(path.name)]
    for path in paths:
        text = KEPT.sub("", path.read_text("utf-8"))
        for number, line in enumerate(text.splitlines() if BRITISH.search(text) else (), 1):
            if match := BRITISH.search(line):
                wrong.append(f"{path.relative_to(ROOT)}:{number}: {match[0]}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", files(".md"), ids=lambda path: path.name)
def test_documents_have_one_word_for_each_thing(path: Path) -> None:
    text = CODE.sub(lambda match: "\n" * match[0].count("\n"), path.read_text("utf-8"))
    lines = enumerate(text.splitlines(), 1)
    assert not [
        f"line {number}: {match[0]}" for number, line in lines if (match := OLD.search(line))
    ]


def test_docstrings_have_one_word_for_each_thing() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]}"
        for path in files(".py")
        for number, line in first_lines(path)
        if (match := OLD.search(CODE.sub("", line)))
    ]
    assert not wrong, "\n".join(wrong)


def test_docstrings_of_functions_begin_with_a_verb() -> None:
    assert begins_with_a_verb("Return the words.")
    assert begins_with_a_verb("Process jobs.")
    for text in ("The words.", "Whether it is there.", "(B, L, D) to (B, L, D).", "Returns words."):
        assert not begins_with_a_verb(text)
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {document.splitlines()[0]}"
        for path in files(".py")
        if path.relative_to(ROOT).parts[0] in ("benchmarks", "strhub", "tools")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (document := ast.get_docstring(node)) and not begins_with_a_verb(document)
    ]
    assert not wrong, "\n".join(wrong)


def test_identifiers_have_one_word_for_each_thing() -> None:
    assert parts("PictureSize_drawn") == {"picture", "size", "drawn"}
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in files(".py")
        for name in sorted(identifiers(path) - ALLOWED)
        if (parts(name) & words_of_old(path) or name.endswith("second_look"))
        and not name.startswith("test_")
        and path.name != "test_renamed.py"
    ]
    assert not wrong, "\n".join(wrong)
