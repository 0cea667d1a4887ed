"""How a real API server would be started: with stand-ins that check what they are given, for want of a real one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config

from tests.helpers.envtest import real_api_server

COMMON = """
import json, os, pathlib, signal, sys
flags = dict(each.removeprefix("--").split("=", 1) for each in sys.argv[1:])
told = pathlib.Path(sys.argv[0] + ".json")
told.write_text(json.dumps({"pid": os.getpid(), "flags": flags}))
"""
ETCD = "signal.sigwait({signal.SIGTERM})"
SERVER = """
import http.server, ssl
token = pathlib.Path(flags["token-auth-file"]).read_text().split(",")[0]
class Handler(http.server.BaseHTTPRequestHandler):
    asked = 0
    def do_GET(self):
        Handler.asked += 1
        known = self.headers["Authorization"] == "Bearer " + token
        body = json.dumps({"major": "1", "minor": "33", "gitVersion": "v1.33.0", "gitCommit": "", "buildDate": "",
            "gitTreeState": "", "goVersion": "", "compiler": "", "platform": ""}).encode()
        self.send_response(401 if not known else 503 if Handler.asked == 1 else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
server = http.server.HTTPServer((flags["bind-address"], int(flags["secure-port"])), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(flags["tls-cert-file"], flags["tls-private-key-file"])
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


def stand_ins(folder: Path) -> Path:
    for name, code in (("etcd", ETCD), ("kube-apiserver", SERVER)):
        (folder / name).write_text(f"#!{sys.executable}\n{COMMON}{code}")
        (folder / name).chmod(0o755)
    return folder


def told(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return found


def test_both_are_started_for_each_other_and_ended(tmp_path: Path) -> None:
    assets = stand_ins(tmp_path)
    with real_api_server(assets) as kubeconfig:
        load: Any = config.new_client_from_config
        with load(str(kubeconfig)) as api:
            assert client.VersionApi(api).get_code().git_version == "v1.33.0"
        store, server = told(assets, "etcd")["flags"], told(assets, "kube-apiserver")["flags"]
        assert server["etcd-servers"] == store["listen-client-urls"]
        assert server["service-account-key-file"] == server["service-account-signing-key-file"]
    for name in ("etcd", "kube-apiserver"):
        assert not Path(f"/proc/{told(assets, name)['pid']}").exists()


def test_a_folder_without_them_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="etcd"), real_api_server(tmp_path):
        pass
