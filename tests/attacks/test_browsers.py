"""Pages of other sites that make a browser call routes which delete on GET."""

import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from rest.tests.conftest import Start

JOB = "a" * 64
PATHS = (f"/apiv1/remove/{JOB}/bass", f"/apiv1/remove/{JOB}-bass.mp3", "/apiv1/delete_contents")
BROWSERS = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
)


def address_of_this_machine() -> str:
    """Return an address in the local network, or loopback without one. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


@pytest.mark.fault("T9")
def test_image_without_referrer_deletes_nothing(start: Start, figure: Callable[[str], None]) -> None:
    """A browser sends neither Sec-Fetch-Site nor Origin for it over plain HTTP."""
    service = start(HOST="0.0.0.0", DEBUG_ENDPOINTS="1")
    service.store_stems(JOB)
    port = service.settings.port
    hosts = {"LAN address": address_of_this_machine(), "loopback": "127.0.0.1", "name": "localhost"}
    bases = [f"http://{host}:{port}" for host in hosts.values()]
    answers = [
        requests.get(base + path, headers={"User-Agent": browser, "Accept": "image/*"}, timeout=20)
        for base in bases
        for path in PATHS
        for browser in BROWSERS
    ]
    refused = sum(answer.status_code == 403 for answer in answers)
    figure(f"{refused}/{len(answers)} images refused at {', '.join(hosts)}")
    assert refused == len(answers)
    assert service.get(f"/apiv1/track/{JOB}/bass").status_code == 200
    # A program may, as the contract says.
    assert requests.get(bases[0] + PATHS[0], headers={"User-Agent": "curl/8.14.1"}, timeout=20).ok


@pytest.mark.fault("T9")
def test_page_in_a_real_browser_deletes_nothing(
    start: Start, figure: Callable[[str], None], tmp_path: Path
) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("chromium is not installed")
    host = address_of_this_machine()
    service = start(HOST="0.0.0.0", DEBUG_ENDPOINTS="1", LOG_LEVEL="debug")
    service.store_stems(JOB)
    urls = [f"http://{host}:{service.settings.port}{path}" for path in PATHS]
    with page_of_images(host, urls) as page:
        options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
        options += ["--virtual-time-budget=5000", "--dump-dom"]
        subprocess.run([browser, *options, page], check=True, capture_output=True, timeout=60)
    refused = service.log.read_text().count("(GET of a browser without Sec-Fetch-Site")
    figure(f"Chromium, a page with {len(urls)} images: {refused} refused")
    assert refused == len(urls)
    assert service.get(f"/apiv1/track/{JOB}/bass").status_code == 200


@contextmanager
def page_of_images(host: str, urls: list[str]) -> Iterator[str]:
    """Serve a page whose images are `urls`, without referrer, on another port: another site."""
    images = "".join(f'<img referrerpolicy="no-referrer" src="{url}">' for url in urls).encode()

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(images)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer((host, 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{host}:{server.server_address[1]}/"
        server.shutdown()
