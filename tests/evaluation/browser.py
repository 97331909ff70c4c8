"""Pages in a browser, where there is one: a script acts on a page and tells what it then shows."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))),
    None,
)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium")
# Nothing is looked up or fetched; no sandbox, since root has none.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--virtual-time-budget=2000",
)


def act(page: str, script: str, folder: Path) -> Any:
    """Open a page, run a script whose last statement returns a value, and return that value.

    Errors of the page or the script are raised.
    """
    driver = f"""<pre id="told"></pre><script>
const told = document.getElementById("told");
addEventListener("error", (event) => {{
  told.textContent = JSON.stringify({{ error: event.message }});
}});
addEventListener("load", () => {{
  try {{ told.textContent = JSON.stringify({{ value: (() => {{ {script} }})() }}); }}
  catch (error) {{ told.textContent = JSON.stringify({{ error: String(error) }}); }}
}});
const input = (id, value, kind = "change") => {{
  const field = document.getElementById(id);
  field.value = value;
  field.dispatchEvent(new Event(kind));
}};
const words = (id) =>
  [...document.querySelectorAll("#" + id + " figure")].map((one) => one.dataset.word);
</script>"""
    path = folder / "driven.html"
    path.write_text(page.replace("<main>", driver + "<main>"), "utf-8")
    assert BROWSER is not None
    done = subprocess.run(
        [BROWSER, *FLAGS, f"--user-data-dir={folder / 'profile'}", "--dump-dom", path.as_uri()],
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    found = re.search(r'<pre id="told">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stdout[:2000]
    reported = json.loads(unescape(found[1]))
    assert "error" not in reported, reported
    return reported["value"]
