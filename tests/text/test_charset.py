"""Labels on their way to a charset."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strhub.text import (
    CHARSET_36,
    CHARSET_62,
    CHARSET_94,
    CharsetAdapter,
    DroppedLabel,
    LabelPreparation,
    ScoredText,
    check_charset,
    fold_to_ascii,
    scored_charset,
)

GERMAN = CHARSET_62 + "äöüÄÖÜß"


@pytest.mark.parametrize(
    ("charset", "label", "prepared"),
    [
        (CHARSET_36, "Don't!", "dont"),
        (CHARSET_36, "Café", "cafe"),
        (CHARSET_36, "Straße", "strasse"),
        (CHARSET_62, "Hello, World", "HelloWorld"),
        (CHARSET_94, "a “b” – c", 'a"b"-c'),
        (CHARSET_94 + " ", "  New   York ", "New York"),
        (GERMAN, "Straße", "Straße"),
        (GERMAN, "Mu\u0308nchen", "München"),
        ("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", "ab-1", "AB1"),
        ("中文", "中 文", "中文"),
    ],
)
def test_prepared_labels(charset: str, label: str, prepared: str) -> None:
    assert LabelPreparation(charset, max_length=25)(label) == prepared


@pytest.mark.parametrize(
    ("charset", "label", "reason"),
    [
        (CHARSET_94, "", "empty"),
        (CHARSET_36, "?!", "empty"),
        (CHARSET_94, "a" * 26, "too long"),
        (CHARSET_94, "中文", "outside the charset"),
        (GERMAN, "Łódź", "outside the charset"),
        ("0123456789", "12a", "outside the charset"),
    ],
)
def test_dropped_labels_say_why(charset: str, label: str, reason: str) -> None:
    with pytest.raises(DroppedLabel) as caught:
        LabelPreparation(charset, max_length=25)(label)
    assert caught.value.reason == reason
    assert repr(label) in str(caught.value)


DEVANAGARI = "कपनमसतहदघरृ्"
HEBREW = "אבגדהוזחטיכלמנסעפצקרשתךםןףץ"
ARABIC = "ابتثجحخدذرزسشصضطظعغفقكلمنهوي"


@pytest.mark.parametrize(
    ("charset", "labels"),
    [
        (CHARSET_94, "½ ¼cup 10² №7 x™ ① ㎏ ªº €5 £20 5°C 👍ok «hi» 3·5 x¨y a\ufffdb नमस्ते"),
        (CHARSET_36, "½ 10² x™ €5 5°C"),
        (DEVANAGARI, "नमस्ते कपि पानी"),
        ("กขคงจนบปผพมยรลวสหอท", "ที่นี่ น้ำ"),
        ("അആഇകഖഗ", "കി"),
        ("αβγεικλμν", "\u1f00νε\u0301μι κα\u0301λ"),
        (CHARSET_62 + "ä", "a\u0308o\u0308"),
        (CHARSET_36 + "ä", "x\u0304y"),
        ("あいうかさは", "がぱ"),
    ],
)
def test_what_would_be_another_word_without_a_sign_is_dropped(charset: str, labels: str) -> None:
    for label in labels.split():
        with pytest.raises(DroppedLabel) as caught:
            LabelPreparation(charset, max_length=25)(label)
        assert caught.value.reason == "outside the charset", label


@pytest.mark.parametrize(
    ("charset", "label", "prepared"),
    [
        (CHARSET_94, "ＡＢＣ１２％", "ABC12%"),
        (CHARSET_94, "ﬁsh…", "fish..."),
        (CHARSET_94, "Ⅳ ǆ ſ 𝐁", "IVdzsB"),
        (CHARSET_94, "O’Neil a‐b 5′ c´", "O'Neila-b5'c'"),
        (CHARSET_94, "naïve x\u0304 Å Đà", "naivexADa"),
        (CHARSET_94, "A\u00adB\u200bC\ufe0f", "ABC"),
        (CHARSET_36, "«Hi», ‹$5›", "hi5"),
        (CHARSET_62 + "-", "St.-Jo", "St-Jo"),
        (HEBREW, "שָׁלוֹם", "שלום"),
        (ARABIC, "مُحَمَّد", "محمد"),
        (ARABIC, "محـــمد", "محمد"),
        (DEVANAGARI, "कृ\u200dप", "कृप"),
        ("abcdefghiıjklmnoprstuvyzçğöşü", "DİKİLİ", "dikili"),
    ],
)
def test_other_spellings_of_a_word_are_kept(charset: str, label: str, prepared: str) -> None:
    assert LabelPreparation(charset, max_length=25)(label) == prepared


@pytest.mark.parametrize(
    ("text", "folded"),
    [("½ ² ™", "½ ² ™"), ("ﬁ é Ａ", "fi e A"), ("ά क्", "ά क्"), ("µ €", "µ €"), ("x\u0304", "x")],
)
def test_folding_never_makes_another_word(text: str, folded: str) -> None:
    assert fold_to_ascii(text) == folded


def test_scoring_removes_letters_outside_the_charset_and_keeps_the_word() -> None:
    assert LabelPreparation("0123456789", max_length=None, strict=False)("12ab3") == "123"


def test_folding_can_be_asked_for() -> None:
    assert LabelPreparation(CHARSET_62 + "é", max_length=9, fold_ascii=True)("éàß") == "éass"
    with pytest.raises(DroppedLabel):
        LabelPreparation(CHARSET_62 + "é", max_length=9)("éàß")


def test_a_dropped_label_survives_a_worker_process() -> None:
    error = pickle.loads(pickle.dumps(DroppedLabel("empty", "x")))
    assert (error.reason, error.label) == ("empty", "x")


@pytest.mark.parametrize("charset", ["", "aa", "e\u0301"])
def test_bad_charsets(charset: str) -> None:
    with pytest.raises(ValueError, match="charset"):
        check_charset(charset)


def test_what_is_removed_between_spaces_leaves_one_space() -> None:
    assert LabelPreparation(CHARSET_94 + " ", max_length=9)("a \x08 b") == "a b"


@given(
    st.text(max_size=30),
    st.sampled_from([CHARSET_36, CHARSET_62, CHARSET_94, GERMAN, CHARSET_94 + " "]),
)
def test_a_prepared_label_is_in_the_charset_and_stays_as_it_is(label: str, charset: str) -> None:
    prepare = LabelPreparation(charset, max_length=30)
    try:
        text = prepare(label)
    except DroppedLabel:
        return
    assert text
    assert set(text) <= set(charset)
    assert prepare(text) == text


@given(st.text(alphabet=CHARSET_94, max_size=20))
def test_folding_leaves_ascii_alone(text: str) -> None:
    assert fold_to_ascii(text) == text


@given(st.text(max_size=20))
def test_the_adapter_is_idempotent(text: str) -> None:
    adapter = CharsetAdapter(CHARSET_36)
    assert adapter(adapter(text)) == adapter(text)


@pytest.mark.parametrize(
    ("charset_train", "charset_test", "expected"),
    [
        ("абв", None, "абв"),
        ("абв", "аб", "аб"),
        (CHARSET_94, None, CHARSET_36),
        (CHARSET_62, None, CHARSET_36),
        (CHARSET_62[::-1], None, CHARSET_36),
        (CHARSET_36, None, CHARSET_36),
        (CHARSET_94 + " ", None, CHARSET_94 + " "),
    ],
)
def test_what_is_trained_is_scored_unless_another_charset_is_set(
    charset_train: str, charset_test: str | None, expected: str
) -> None:
    assert scored_charset(charset_train, charset_test) == expected


@given(st.text(st.characters(codec="ascii")), st.sampled_from([CHARSET_36, CHARSET_62, CHARSET_94]))
def test_scoring_of_ascii_is_the_fields_rule(text: str, charset: str) -> None:
    assert ScoredText(charset)(text) == CharsetAdapter(charset)(text)


def test_labels_and_readings_are_brought_to_a_charset_alike() -> None:
    ascii_only, german, spaced = (
        ScoredText(CHARSET_36),
        ScoredText(GERMAN),
        ScoredText(CHARSET_36 + " "),
    )
    assert (ascii_only("Straße"), german("Straße"), spaced(" New  York ")) == (
        "strasse",
        "Straße",
        "new york",
    )
    assert ascii_only("рынок") == ""
    assert not ascii_only.loses_letters("Straße!")
    assert ascii_only.loses_letters("abc 中")
