"""A real nginx with our configuration, on free ports and with a certificate of its own."""

import contextlib
import getpass
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import urllib3

from tests.manifests.rendering import ROOT
from tests.servers import Server, absent, free_port

CONFIG = ROOT / "deploy" / "nginx" / "msaas.conf"
NAME = "songs.example.org"
#: What a distribution has around the files of conf.d.
_MAIN = """\
daemon off;
user {user};
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/bodies;
    proxy_temp_path {folder}/answers;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/msaas.conf;
}}
"""


class NginxServer(Server):
    """`backend` is the port of `rest`. `port` has TLS, and `plain_port` redirects to it."""

    def __init__(self, folder: Path, *, backend: int) -> None:
        super().__init__(folder, port=free_port())
        self.plain_port = free_port()
        self.certificate = folder / "fullchain.pem"
        self._make_certificate()
        (folder / "certbot").mkdir()
        (folder / "msaas.conf").write_text(self._configuration(backend))
        (folder / "nginx.conf").write_text(_MAIN.format(folder=folder, user=getpass.getuser()))

    def _configuration(self, backend: int) -> str:
        """Return our configuration, with the ports and folders of this server."""
        text = CONFIG.read_text()
        text = re.sub(r"listen \[::\].*;\n", "", text)
        for old, new in {
            "listen 80;": f"listen 127.0.0.1:{self.plain_port};",
            "listen 443 ": f"listen 127.0.0.1:{self.port} ",
            f"/etc/letsencrypt/live/{NAME}": str(self.folder),
            "/var/www/certbot": str(self.folder / "certbot"),
            "http://127.0.0.1:5000": f"http://127.0.0.1:{backend}",
        }.items():
            assert old in text, old
            text = text.replace(old, new)
        return text

    def _make_certificate(self) -> None:
        names = f"subjectAltName=DNS:{NAME},DNS:localhost"
        command = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ]
        files = ["-keyout", self.folder / "privkey.pem", "-out", self.certificate]
        subprocess.run(
            [*command, "-subj", f"/CN={NAME}", "-addext", names, *files], check=True, capture_output=True
        )

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def commands(self) -> list[list[str]]:
        return [["nginx", "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")]]

    def answers(self) -> bool:
        try:
            urllib3.request("GET", f"http://127.0.0.1:{self.plain_port}/", retries=False, timeout=2)
        except urllib3.exceptions.HTTPError:
            return False
        return True

    def files_of_bodies(self) -> list[Path]:
        """Return the files in which nginx keeps bodies and answers."""
        folders = (self.folder / "bodies", self.folder / "answers")
        return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


@contextlib.contextmanager
def nginx_running(folder: Path, *, backend: int) -> Iterator[NginxServer]:
    if shutil.which("nginx") is None:
        absent("nginx")
    folder.mkdir(parents=True, exist_ok=True)
    server = NginxServer(folder, backend=backend)
    try:
        yield server.start()
    finally:
        server.kill()
