"""Runs the tests of the page, which are written for Node.js: the page in a browser, against a server."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.servers import absent

WEB = Path(__file__).parents[2] / "web"
BUILT = WEB.parent / "rest/src/msaas_rest/home/page/index.html"
#: The programs that each `BROWSER` of `web/tests/browser.mjs` needs. Firefox needs a sound output to play.
BROWSERS = {"chromium": ("chromium",), "firefox": ("firefox-esr", "pulseaudio")}


def require_page(*browsers: str) -> None:
    """Skip a test without Node.js, or without the packages and the build of the page. In CI it fails."""
    for program in ("node", *(program for each in browsers for program in BROWSERS[each])):
        if shutil.which(program) is None:
            absent(program)
    if not (WEB / "node_modules").is_dir() or not BUILT.is_file():
        absent("the page (make web)")


def run_node(test: str, *, browser: str, timeout_s: float, **environment: str) -> None:
    """Run a file of `web/tests` in a browser. Its output is shown if it fails."""
    command = ["node", "--test", "--test-reporter=spec", f"tests/{test}"]
    done = subprocess.run(
        command,
        cwd=WEB,
        env={**os.environ, "BROWSER": browser, **environment},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-4000:]
