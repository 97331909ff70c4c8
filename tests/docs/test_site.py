"""The documents agree with the code and the figures, their links lead somewhere, and the site
builds.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from documents import DOCUMENTS, ROOT
from PIL import Image

pytest.importorskip("torch")


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env=variables,
        capture_output=True,
        text=True,
        timeout=280,
    )


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150


def test_tables_are_those_of_the_recorded_figures() -> None:
    done = run("benchmarks/results.py", "--check")
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_figures_are_those_of_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "tools" / "site")
    from figures import figures, photographs

    folder = ROOT / "docs" / "figures"
    rendered = figures()
    assert len(rendered) == 5
    for name, svg in rendered.items():
        assert (folder / name).read_text("utf-8") == svg, name
    for name, image in photographs().items():
        kept = Image.open(folder / name)
        assert image.size == kept.size
        difference = np.asarray(image, dtype=float) - np.asarray(kept, dtype=float)
        assert np.abs(difference).mean() < 3, name  # JPEG, and other versions of Pillow


@pytest.mark.parametrize("path", [*DOCUMENTS, ROOT / "SECURITY.md"], ids=lambda path: path.name)
def test_links_lead_to_files(path: Path) -> None:
    generated = {"reference/options.md", "reference/commands.md", "reference/python.md"}
    targets = re.findall(
        r"\]\(([^)#\s]+)(?:#[^)]*)?\)",
        re.sub(r"```.*?```", "", path.read_text("utf-8"), flags=re.S),
    )
    missing = [
        one for one in targets if not re.match(r"[a-z]+:", one) and not (path.parent / one).exists()
    ]
    assert [one for one in missing if one not in generated] == []


def test_every_option_has_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "tools" / "site")
    import reference

    page = reference.options()
    assert "| `model.batch_size` | `384` | words per device and step |" in page
    assert "### charset=36_lowercase" in page
    assert "_target_" not in page


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    words = ("-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site"))
    done = run(*words, NO_MKDOCS_2_WARNING="1")
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {
        str(page.relative_to(tmp_path / "site")) for page in (tmp_path / "site").rglob("*.html")
    }
    assert {
        "index.html",
        "faq.html",
        "reference/options.html",
        "reference/python.html",
        "data.html",
    } <= pages
    fetched = re.compile(r'<(?:script|link|img)[^>]+(?:src|href)="https?://')
    home = (tmp_path / "site" / "index.html").read_text("utf-8")
    assert not fetched.search(home)
