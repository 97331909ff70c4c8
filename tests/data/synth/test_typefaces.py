"""Fonts: the bundled ones are licensed, weighed and known; a user's are found, and broken ones left
out.
"""

from __future__ import annotations

import pickle
import string
import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageFont

from strhub.data.synth import fontfiles
from strhub.data.synth.fontfiles import BUNDLED_FONTS, characters_of, find_fonts, split_name
from strhub.data.synth.typefaces import CLASS_FRACTIONS, FONT_CLASSES, FontShelf, open_font

ASCII_94 = string.digits + string.ascii_letters + string.punctuation
ARVO = BUNDLED_FONTS / "Arvo-Bold.ttf"


@pytest.fixture(scope="module")
def shelf() -> FontShelf:
    return FontShelf()


def stems(paths: list[str]) -> set[str]:
    return {Path(path).stem for path in paths}


def test_every_bundled_font_comes_with_its_license() -> None:
    table = (BUNDLED_FONTS / "README.md").read_text(encoding="utf-8")
    fonts = sorted(BUNDLED_FONTS.glob("*.ttf"))
    assert len({font.name.split("-")[0] for font in fonts}) >= 64
    assert sum(file.stat().st_size for file in BUNDLED_FONTS.iterdir()) <= 8 * 2**20
    classes = {stem: kind for kind, members in FONT_CLASSES.items() for stem in members}
    for font in fonts:
        family = font.name.split("-")[0]
        license = (BUNDLED_FONTS / f"{family}-LICENSE.txt").read_text(encoding="utf-8")
        assert "SIL OPEN FONT LICENSE" in license.upper() or "APACHE LICENSE" in license.upper()
        assert "copyright" in license[:400].lower()
        assert f"| `{font.name}` | {family} | {classes[font.stem]} |" in table
    assert table.count("| `") == len(fonts)


def test_every_font_has_one_class_and_every_class_its_share() -> None:
    members = [stem for kind in FONT_CLASSES.values() for stem in kind]
    assert sorted(members) == sorted(font.stem for font in BUNDLED_FONTS.glob("*.ttf"))
    assert FONT_CLASSES.keys() == CLASS_FRACTIONS.keys()
    assert sum(CLASS_FRACTIONS.values()) == pytest.approx(1.0)


def test_documented_shares_are_those_in_use() -> None:
    from strhub.data.synth import typefaces

    words = (typefaces.__doc__ or "").split()
    for kind, fraction in CLASS_FRACTIONS.items():
        index = max(number for number, word in enumerate(words) if word == kind)
        assert float(words[index + 1]) == fraction


def test_fonts_are_chosen_by_class(shelf: FontShelf) -> None:
    rng, classes = (
        np.random.default_rng(0),
        {stem: kind for kind, group in FONT_CLASSES.items() for stem in group},
    )
    counts = Counter(classes[Path(shelf.choose("7", rng)).stem] for _ in range(4000))
    assert set(counts) >= set(CLASS_FRACTIONS) - {"blackletter"}
    for kind in ("sans-bold", "condensed", "serif", "script"):
        assert counts[kind] / 4000 == pytest.approx(CLASS_FRACTIONS[kind], abs=0.03)


def test_own_fonts_weigh_as_an_average_one(shelf: FontShelf) -> None:
    own = FontShelf(fonts=[ARVO, BUNDLED_FONTS / "Arvo-Regular.ttf"])
    assert own.weights[0] == own.weights[1]
    assert sum(shelf.weights) == pytest.approx(1.0)


def test_bundled_fonts_draw_all_printable_ascii(shelf: FontShelf) -> None:
    for char in ASCII_94:
        assert len(shelf.fitting(char)) >= 60, char


def test_capitals_fonts_are_kept_from_small_letters(shelf: FontShelf) -> None:
    capitals_only = {path for path in shelf.paths if shelf.is_unicase(path)}
    names = {stem.split("-")[0] for stem in stems(list(capitals_only))}
    assert names == {
        "Bangers",
        "BebasNeue",
        "Bungee",
        "Cinzel",
        "Creepster",
        "DSEG14Classic",
        "LuckiestGuy",
        "Monoton",
        "PermanentMarker",
        "Silkscreen",
    }
    assert capitals_only.isdisjoint(shelf.fitting("open"))
    assert capitals_only <= set(shelf.fitting("OPEN"))


def test_misleading_glyphs_are_not_used(shelf: FontShelf) -> None:
    assert "DSEG14Classic-Bold" in stems(shelf.fitting("12:45"))
    assert "DSEG14Classic-Bold" not in stems(shelf.fitting("50%"))
    assert "UnifrakturMaguntia-Regular" not in stems(shelf.fitting("INN"))
    assert "AllertaStencil-Regular" not in stems(shelf.fitting("#1")), "its number sign is blank"


def test_characters_are_read_from_the_file() -> None:
    characters = characters_of(str(ARVO))
    assert all(char in characters for char in string.ascii_letters + "é")
    assert not any(char in characters for char in "漢\U0003fffe\uffffא")
    for path in BUNDLED_FONTS.glob("*.ttf"):
        known = characters_of(str(path))
        assert list(known.starts) == sorted(known.starts)
        assert all(start <= end for start, end in zip(known.starts, known.ends, strict=True))


def test_missing_characters_are_known(shelf: FontShelf) -> None:
    assert shelf.fitting("漢") == []
    assert shelf.drawable_part("a漢b") == "ab"
    with pytest.raises(ValueError, match="no font can draw"):
        shelf.choose("漢", np.random.default_rng(0))
    assert len(shelf.fitting("Привет")) > 5
    assert not shelf.has_glyphs(str(ARVO), "aж")


def test_shelf_survives_pickling(shelf: FontShelf) -> None:
    twin = pickle.loads(pickle.dumps(shelf))
    assert [twin.choose("Open", np.random.default_rng(seed)) for seed in range(20)] == [
        shelf.choose("Open", np.random.default_rng(seed)) for seed in range(20)
    ]


def test_folders_files_and_keywords(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "Own.TTF").write_bytes(ARVO.read_bytes())
    (tmp_path / "notes.txt").write_text("no font")
    assert find_fonts([tmp_path]) == (str(tmp_path / "deep" / "Own.TTF"),)
    assert find_fonts([ARVO, str(ARVO)]) == (str(ARVO),)
    assert len(find_fonts(["bundled", tmp_path])) == len(find_fonts(None)) + 1
    with pytest.raises(ValueError, match="does not exist"):
        FontShelf(fonts=[tmp_path / "none.ttf"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="folder"):
        FontShelf(fonts=[tmp_path / "empty"])
    with pytest.raises(ValueError, match="no usable font"):
        FontShelf(fonts=[])


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_system_fonts_are_found(
    platform: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    indices = {
        "linux": tmp_path / "share/fonts/truetype",
        "darwin": tmp_path / "Library/Fonts",
        "win32": tmp_path / "Fonts",
    }
    indices[platform].mkdir(parents=True)
    (indices[platform] / "Found.ttf").write_bytes(ARVO.read_bytes())
    monkeypatch.setattr(fontfiles.sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.setenv("WINDIR", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert "Found" in stems(list(find_fonts(["system"])))
    monkeypatch.setattr(fontfiles, "_system_folders", lambda: [tmp_path / "nowhere"])
    with pytest.raises(ValueError, match="no fonts found in"):
        find_fonts(["system"])


def without_unicode() -> bytes:
    data = ARVO.read_bytes()
    return data.replace(b"cmap", b"XXXX", 1)


def with_table(tag: bytes, table: bytes) -> bytes:
    """A font one of whose tables is another."""
    data = bytearray(ARVO.read_bytes())
    entry = data.index(tag)  # in the directory: tag, checksum, offset, length
    struct.pack_into(">II", data, entry + 8, len(data), len(table))
    return bytes(data + table)


def groups_without_end() -> bytes:
    """A font whose map of characters claims to have 48 GiB."""
    head = struct.pack(">HHHHI", 0, 1, 3, 10, 12)
    return with_table(b"cmap", head + struct.pack(">HHIII", 12, 0, 28, 0, 2**32 - 1) + bytes(12))


def giant() -> bytes:
    """A font whose em is a hundredth of its letters."""
    data = ARVO.read_bytes()
    entry = data.index(b"head")
    offset, length = struct.unpack(">II", data[entry + 8 : entry + 16])
    head = bytearray(data[offset : offset + length])
    head[18:20] = struct.pack(">H", 16)  # units an em
    return with_table(b"head", bytes(head))


@pytest.mark.parametrize(
    "content",
    [
        groups_without_end(),
        giant(),
        b"",
        b"not a font",
        b"ttcf",
        ARVO.read_bytes()[:200],
        ARVO.read_bytes()[:-9],
        without_unicode(),
    ],
    ids=["groups", "giant", "empty", "text", "tag", "head", "half", "no-cmap"],
)
def test_broken_fonts_are_left_out_with_a_warning(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "broken.ttf").write_bytes(content)
    (tmp_path / "sound.ttf").write_bytes(ARVO.read_bytes())
    with pytest.warns(UserWarning, match=r"broken\.ttf can't be used"):
        shelf = FontShelf(fonts=[tmp_path])
    assert stems(shelf.fitting("Open")) == {"sound"}
    with (
        pytest.warns(UserWarning, match="left out"),
        pytest.raises(ValueError, match="no usable font"),
    ):
        FontShelf(fonts=[tmp_path / "broken.ttf"])


def test_damaged_fonts_never_crash(tmp_path: Path) -> None:
    rng, sound = np.random.default_rng(0), np.frombuffer(ARVO.read_bytes(), dtype=np.uint8)
    for number in range(40):
        data = sound.copy()
        # The directory of tables and what it points to, where a wrong number leads furthest.
        data[rng.integers(0, 400, size=3)] = rng.integers(0, 256, size=3)
        path = tmp_path / f"{number}.ttf"
        path.write_bytes(data.tobytes())
        try:
            fontfiles._instances(path)
        except (OSError, ValueError, struct.error, IndexError):
            continue  # what `find_fonts` turns into a warning


def variable_font(axes: int = 1, instances: int = 6) -> bytes:
    """Arvo with the tables of a variable font whose named instances all look alike."""
    sound = ARVO.read_bytes()
    count = struct.unpack(">H", sound[4:6])[0]
    tables = {}
    for number in range(count):
        tag, _, start, length = struct.unpack(">4sIII", sound[12 + 16 * number : 28 + 16 * number])
        tables[tag] = sound[start : start + length]
    axis = struct.pack(">4siiiHH", b"wght", 100 << 16, 400 << 16, 900 << 16, 0, 1)
    record = b"".join(
        struct.pack(">HHi", 1 + number, 0, (100 + 100 * number) << 16)
        for number in range(instances)
    )
    tables[b"fvar"] = struct.pack(">HHHHHHHH", 1, 0, 16, 2, axes, 20, instances, 8) + axis + record
    glyphs = struct.unpack(">H", tables[b"maxp"][4:6])[0]
    head = struct.pack(
        ">HHHHIHHI", 1, 0, axes, 0, 20 + 2 * (glyphs + 1), glyphs, 0, 20 + 2 * (glyphs + 1)
    )
    tables[b"gvar"] = head + bytes(2 * (glyphs + 1))
    start, directory, body = 12 + 16 * len(tables), b"", b""
    for tag in sorted(tables):
        directory += struct.pack(">4sIII", tag, 0, start + len(body), len(tables[tag]))
        body += tables[tag] + bytes(-len(tables[tag]) % 4)
    return struct.pack(">4sHHHH", sound[:4], len(tables), 0, 0, 0) + directory + body


def test_variable_fonts_give_their_instances(tmp_path: Path) -> None:
    path = tmp_path / "vari#able.ttf"
    path.write_bytes(variable_font())
    shelf = FontShelf(fonts=[path, ARVO])
    assert shelf.paths == (*(f"{path}#{number}" for number in (1, 2, 4, 5, 6)), str(ARVO))
    assert split_name(shelf.paths[2]) == (str(path), 4)
    assert split_name(str(path)) == (str(path), 0)
    assert sum(shelf.weights[:5]) == pytest.approx(1 / 90, rel=0.2), (
        "the instances share the weight of their file"
    )
    assert len(shelf.fitting("Open")) == 6
    font = open_font(shelf.paths[1], 20)
    assert isinstance(font, ImageFont.FreeTypeFont)
    assert font.getmask("A").getbbox() is not None


def test_opened_fonts_are_bounded() -> None:
    assert open_font(str(ARVO), 20) is open_font(str(ARVO), 20)
    assert open_font.cache_info().maxsize == 512
