"""The frame and the charts of pages: texts of strangers stay texts, and nothing is fetched."""

from markupsafe import Markup
from PIL import Image

from strhub.evaluation.report.charts import Bar, Curve, bar_chart, curve_chart, reliability_chart
from strhub.evaluation.report.shell import data_uri, html_page, percent, shown

HOSTILE = '</title><script>alert(1)</script>"\u202e'


def test_a_page_is_whole_and_fetches_nothing() -> None:
    page = html_page(HOSTILE, Markup("<p>{}</p>").format(HOSTILE))
    assert page.startswith("<!DOCTYPE html>")
    assert "<script>" not in page
    assert "default-src 'none'" in page
    assert "prefers-color-scheme: dark" in page
    assert "http:" not in page
    assert "https:" not in page


def test_what_cannot_be_seen_is_shown_as_its_code() -> None:
    assert shown("a\u202eb\x00 é") == "a\\u202eb\\x00 é"
    assert percent(0.12345) == "12.3"
    assert percent(None) == "–"


def test_charts_escape_names_and_hold_their_numbers() -> None:
    bars = [Bar(HOSTILE, 0.5, 0.25, 0.75, 1234)]
    for chart in (
        bar_chart(HOSTILE, bars),
        reliability_chart(HOSTILE, bars, [0.6]),
        curve_chart(HOSTILE, [Curve(HOSTILE, [(0, 0), (1, 0.2)])], "coverage", "risk", top=0.25),
    ):
        assert "<script>" not in chart
        assert "\u202e" not in chart
        assert 'role="img"' in chart
    assert "50.0 % of 1,234" in bar_chart("", bars)
    assert bar_chart("", []).startswith("<svg")


def test_an_image_is_encoded_anew_and_not_too_large() -> None:
    uri = data_uri(Image.new("L", (4000, 3000)))
    assert uri.startswith("data:image/webp;base64,")
    assert len(uri) < 2000
