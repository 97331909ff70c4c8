"""Texts that are made and not looked up: numbers, prices, dates, times, telephone numbers, codes,
units, new words.

In: a random generator. Out: one string per call, in ASCII but for currency and degree signs. The
charset is not known here; `text` casts what comes out into it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["code", "date", "invented", "listed", "number", "phone", "pick", "price", "time", "unit"]


def listed(words: str) -> tuple[str, ...]:
    """Return the words of a row of words."""
    return tuple(words.split())


_UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ONSETS = listed(
    "b c d f g h j k l m n p qu r s t v w y z x bl br ch cl cr dr fl fr gl gr ph pl pr sc sh sl sp "
    "st str th tr"
)
_VOWELS = listed("a e i o u a e i o a e o ai au ay ea ee ei ia ie io oa oo ou")
_CODAS = listed(
    "b d g k l m n p r s t x z ck ct ft ld ll lt mp nd ng nk nt rd rk rn rt sh ss st th"
)
_MONTHS = listed("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec")
_UNITS = listed(
    "g kg mg t lb lbs oz ml cl l L m cm mm km ft in mi V kV A mA W kW MW kWh Hz kHz MHz GHz GB MB "
    "TB bar psi mph km/h "
    "rpm °C °F % x pcs hp dB min sec hrs px MP th st nd rd m² m³ qm €/kg"
)


def pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    """Return one of `options`, or one character of a string, each as likely."""
    return options[int(rng.random() * len(options))]


def _below(rng: np.random.Generator, end: int, start: int = 0) -> int:
    # A float is twice as fast as `rng.integers`, and this is asked several times for each text.
    return start + int(rng.random() * (end - start))


def _digits(rng: np.random.Generator, low: int, high: int) -> str:
    """Return low..high (both included) decimal digits, leading zeros allowed."""
    length = _below(rng, high + 1, low)
    return str(_below(rng, 10**length)).zfill(length) if length else ""


def number(rng: np.random.Generator) -> str:
    """Return a plain, grouped, decimal or signed number, a year, an ordinal number of digits up to
    10.
    """
    form = _below(rng, 10)
    if form == 0:
        return f"{_below(rng, 10**6, 1):,}"
    if form == 1:
        return f"{rng.random() * 100:.{_below(rng, 3, 1)}f}"
    if form == 2:
        return f"{_digits(rng, 3, 3)}-{_digits(rng, 3, 4)}"
    if form == 3:
        return str(_below(rng, 2035, 1900))
    if form == 4:
        return pick(rng, "+-#№±~") + _digits(rng, 1, 3)
    if form == 5:
        return f"{_below(rng, 100)}{pick(rng, '/x-+:=')}{_below(rng, 100)}"
    return _digits(rng, 1, (1, 2, 2, 3, 3, 4, 4, 5, 6, 10)[_below(rng, 10)])


def price(rng: np.random.Generator) -> str:
    """Return a price with its currency sign, or a percentage, as shops write them."""
    form = _below(rng, 6)
    if form == 0:
        return f"{pick(rng, ('', '-', '-', '+'))}{_below(rng, 20, 1) * 5}%"
    cents = pick(rng, ("00", "99", "95", "50", _digits(rng, 2, 2)))
    amount = f"{int(10 ** (rng.random() * 3.3))}" + (
        f"{pick(rng, '..,')}{cents}" if rng.random() < 0.7 else ""
    )
    if form == 1:
        return amount + pick(rng, ("€", "€", "£", "$", ",-", "EUR", "kr", "zł", "Fr."))
    if form == 2:
        return pick(rng, ("USD", "GBP", "Rs.", "CHF", "US$", "R$", "¢", "¥", "₹")) + amount
    return pick(rng, "$$$£€") + amount


def date(rng: np.random.Generator) -> str:
    """Return a date in one of the usual orders and marks."""
    day, month, year = _below(rng, 32, 1), _below(rng, 13, 1), _below(rng, 2035, 1950)
    form, mark = rng.random(), pick(rng, "./-")
    if form < 0.2:
        return f"{year}-{month:02d}-{day:02d}"
    short = f"{year % 100:02d}" if rng.random() < 0.5 else str(year)
    if form < 0.65:
        return f"{day:02d}{mark}{month:02d}{mark}{short}"
    if form < 0.8:
        return f"{day}{mark}{month}{pick(rng, ('', '', '.'))}"
    name = _MONTHS[month - 1] if rng.random() < 0.5 else _MONTHS[month - 1].upper()
    return pick(
        rng,
        (
            f"{day}{name}",
            f"{day:02d}{name}{year % 100:02d}",
            f"{name}-{year % 100:02d}",
            f"{name}.",
            f"'{short[-2:]}",
        ),
    )


def time(rng: np.random.Generator) -> str:
    """Return a time of day or opening hours."""
    hour, minute = _below(rng, 24), _below(rng, 60)
    mark = pick(rng, "::.h")
    half = pick(rng, ("am", "pm", "AM", "PM"))
    form = _below(rng, 4)
    if form == 0:
        return f"{hour % 12 + 1}{half}"
    if form == 1:
        return f"{hour}{mark}00-{minute % 24}{mark}30"
    if form == 2:
        return f"{hour % 12 + 1}{half}-{minute % 12 + 1}{half}"
    return f"{hour:02d}{mark}{minute:02d}"


def phone(rng: np.random.Generator) -> str:
    """Return a telephone number, or the part of one that stands between spaces."""
    form = _below(rng, 5)
    if form == 0:
        return f"+{_digits(rng, 1, 2)}{_digits(rng, 8, 10)}"
    if form == 1:
        return f"({_digits(rng, 2, 4)}){_digits(rng, 3, 3)}-{_digits(rng, 4, 4)}"
    if form == 2:
        mark = pick(rng, "-./")
        return mark.join((_digits(rng, 3, 3), _digits(rng, 3, 3), _digits(rng, 4, 4)))
    if form == 3:
        return f"0{_digits(rng, 2, 4)}{pick(rng, '/-')}{_digits(rng, 4, 7)}"
    return pick(rng, ("1-800-", "0800-", "0800", "Tel.:", "(0)")) + _digits(rng, 4, 7)


def code(rng: np.random.Generator) -> str:
    """Return letters and digits as on number plates, parts, parcels and doors."""
    parts = []
    for _ in range(_below(rng, 4, 1)):
        letters = "".join(pick(rng, _UPPER) for _ in range(_below(rng, 4, 1)))
        parts.append(letters if rng.random() < 0.6 else _digits(rng, 1, 4))
    if not any(part.isdigit() for part in parts):
        parts.append(_digits(rng, 1, 4))
    text = pick(rng, ("", "", "", "-", "-", ".", "/", "_", ":")).join(parts)
    return text.lower() if rng.random() < 0.1 else text


def unit(rng: np.random.Generator) -> str:
    """Return an amount with its unit, such as 500ml, 2x or 30°C."""
    amount = _digits(rng, 1, 3).lstrip("0") or "1"
    if rng.random() < 0.2:
        amount += pick(rng, ".,") + _digits(rng, 1, 2)
    return amount + pick(rng, _UNITS)


def invented(rng: np.random.Generator) -> str:
    """Return a pronounceable lower case word of 1..4 syllables that need not exist."""
    syllables = (1, 1, 1, 2, 2, 2, 2, 2, 3, 4)[_below(rng, 10)]
    word = "" if rng.random() < 0.15 else pick(rng, _ONSETS)
    for _ in range(syllables - 1):
        word += pick(rng, _VOWELS) + pick(rng, _ONSETS)
    word += pick(rng, _VOWELS)
    return word if rng.random() < 0.1 else word + pick(rng, _CODAS)
