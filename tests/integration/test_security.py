"""A cluster with certificates and tokens: who is let in, who is not, and that nothing dies of those who are not."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest
from grpc_health.v1 import health_pb2

from limnad import ClusterError, JobError
from limnad.cli.certificates import as_pem, issue, make_authority, make_certificates, read_pair
from limnad.cli.watched import engines_of
from limnad.client import Checkpointing, Client, Tls
from limnad_proto.v1 import hosts_pb2, jobs_pb2
from tests.helpers.clusters import Agents, epochs, processes_with
from tests.helpers.ports import listening
from tests.helpers.running import LIMNAD
from tests.helpers.secured import UNLIMITED, SecuredAgents, channel, said
from tests.helpers.totals import expected, write_job

LIST = "/limnad.v1.JobService/List"
REGISTER = "/limnad.v1.Hosts/Register"
DENIED, UNAUTHENTICATED = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
REFUSED, EXHAUSTED = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED

HELLO = hosts_pb2.FromHost(info=hosts_pb2.HostInfo(uid="stranger", index=7, address="127.0.0.1:1")).SerializeToString()


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredAgents]:
    """Two agents that strangers knock at; afterwards both are still there, and work."""
    folder = tmp_path_factory.mktemp("secured")
    flags = ("--max-calls", "8", "--metrics-port", "0", "--ui-address", "127.0.0.1:0")
    with SecuredAgents(2, *flags, folder=folder).start(0, 1) as agents:
        assert agents.gathered() == [0, 1]
        pids = {index: process.pid for index, process in agents.processes.items()}
        yield agents
        assert {index: process.pid for index, process in agents.processes.items() if process.poll() is None} == pids
        with agents.client() as client:
            job = client.submit(write_job(folder), workers=2, arguments={"epochs": 5})
            assert epochs(job.outputs()) == expected(5)


def announced(agents: SecuredAgents) -> dict[str, str]:
    """What the leader has said of itself."""
    found: dict[str, str] = json.loads((agents.folder.parent / "agent-0.log").read_text().splitlines()[0])
    return found


def told(*arguments: Any, **options: Any) -> str:
    """Why a client is not let in; empty: it is."""
    with Client(*arguments, **options) as client:
        try:
            client.jobs()
        except ClusterError as error:
            return str(error)
    return ""


# -- clients -----------------------------------------------------------------------------------------------------------


def test_without_one_of_the_tokens_nobody_is_a_client(agents: SecuredAgents) -> None:
    for wrong in ("a-token-of-another-cluster", agents.token[:-1], agents.token + "x"):
        assert "does not let this client in" in told(agents.clients[0], wrong, tls=agents.authorities)
    assert "this needs one of its tokens" in told(agents.clients[0], tls=agents.authorities)
    authorities = (agents.folder / "ca.crt").read_bytes()
    with channel(agents.clients[0], authorities) as line:
        reflection = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
        for method in (LIST, "/limnad.v1.JobService/Push", reflection):
            assert said(line, method)[0] is UNAUTHENTICATED
        check = health_pb2.HealthCheckRequest().SerializeToString()
        assert said(line, "/grpc.health.v1.Health/Check", check)[0] is grpc.StatusCode.OK


def test_several_tokens_are_good_at_once_and_change_under_the_cluster(agents: SecuredAgents, tmp_path: Path) -> None:
    first = agents.token
    second = "the-second-token-of-this-test"
    agents.token_file.write_text(f"# two\n{second}\n{first}\n")
    with agents.client(first) as old, agents.client(second) as new:
        assert old.jobs() == new.jobs()
        agents.token_file.write_text(f"{second}\n")
        with pytest.raises(ClusterError, match="none of the cluster's"):
            old.jobs()
        new.jobs()
        agents.token_file.write_text("")
        with pytest.raises(ClusterError, match="none of the cluster's"):
            new.jobs()
        agents.token_file.write_text(f"{first}\n")
        old.jobs()
    own = tmp_path / "own"
    own.write_text("one-that-is-not-good\n")
    with Client(agents.clients[0], token_file=str(own), tls=agents.authorities) as client:
        with pytest.raises(ClusterError, match="none of the cluster's"):
            client.jobs()
        own.write_text(f"{first}\n")
        client.jobs()


def test_a_token_goes_nowhere_in_plain_text() -> None:
    with pytest.raises(ClusterError, match=r"plain text.*--tls-ca.*--insecure"):
        Client("limnad.example.org:7701", "a-token-whatever-it-is")
    Client("limnad.example.org:7701", "a-token-whatever-it-is", insecure=True).close()
    with pytest.raises(ClusterError, match="the token is none"):
        Client("127.0.0.1:7701", "two words")


def test_plain_text_on_a_tls_port_and_tls_on_a_plain_one(agents: SecuredAgents, tmp_path: Path) -> None:
    for address in (agents.clients[0], agents.addresses[0]):
        with grpc.insecure_channel(address) as line:
            assert said(line, LIST, token=agents.token)[0] is UNAVAILABLE
    with Agents(1, folder=tmp_path).start(0) as plain:
        plain.gathered()
        assert "it speaks no TLS there" in told(plain.addresses[0], tls=agents.authorities)
        assert plain.gathered() == [0]


def test_a_leader_is_known_by_its_authority_and_name(agents: SecuredAgents, tmp_path: Path) -> None:
    other = tmp_path / "other.crt"
    other.write_bytes(as_pem(make_authority())[0])
    leader, token = agents.clients[0], agents.token
    assert "none of this authority's" in told(leader, token, str(other))
    assert "another name" in told(leader, token, Tls(agents.authorities, name="elsewhere.org"))
    assert told(leader, token, Tls(agents.authorities, name="leader.limnad.internal")) == ""


def test_a_client_has_a_number_of_calls_and_sizes_of_messages(agents: SecuredAgents) -> None:
    authorities = (agents.folder / "ca.crt").read_bytes()
    with channel(agents.clients[0], authorities) as line:
        check = health_pb2.HealthCheckRequest().SerializeToString()
        watch: Any = line.unary_stream("/grpc.health.v1.Health/Watch")
        watching = [watch(check) for _ in range(8)]
        for each in watching:
            next(each)
        code, why = said(line, "/grpc.health.v1.Health/Check", check)
        assert (code, "has 8 calls already" in why) == (EXHAUSTED, True)
        assert said(line, LIST, b"", token=agents.token)[0] is grpc.StatusCode.OK, "another client is another client"
        for each in watching:
            each.cancel()
        large = jobs_pb2.GetRequest(job="x" * 100_000).SerializeToString()
        code, why = said(line, "/limnad.v1.JobService/Get", large, token=agents.token)
        assert (code, "a message of Get may have 65,536 bytes" in why) == (EXHAUSTED, True)
        assert said(line, LIST, b"\xff", token=agents.token) == (REFUSED, "this is no message of List")


@pytest.mark.slow
def test_a_message_of_a_gigabyte_is_refused(agents: SecuredAgents, tmp_path: Path) -> None:
    authorities = (agents.folder / "ca.crt").read_bytes()
    gigabyte = bytes(1 << 30)
    with channel(agents.clients[0], authorities) as line:
        for method in ("Push", "Upload", "Submit"):
            code, why = said(line, f"/limnad.v1.JobService/{method}", gigabyte, token=agents.token, timeout_s=120)
            assert (code, "larger than max" in why) == (EXHAUSTED, True)
    with Agents(1, folder=tmp_path).start(0) as plain:
        plain.gathered()
        with grpc.insecure_channel(plain.addresses[0], options=UNLIMITED) as line:
            assert said(line, "/limnad.v1.JobService/Push", gigabyte, timeout_s=120)[0] is EXHAUSTED
        assert plain.gathered() == [0]


def test_archives_that_would_do_harm(agents: SecuredAgents) -> None:
    authorities = (agents.folder / "ca.crt").read_bytes()
    bomb = io.BytesIO()
    packing = zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED, compresslevel=9)
    with packing as archive, archive.open("zeros", "w", force_zip64=True) as file:
        for _ in range(1025):
            file.write(bytes(1 << 20))
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    harmful = {
        "paths are relative": zipped("../outside.py"),
        "paths are relative, ": zipped("/etc/passwd"),
        "a link or a device": zipped(link),
        "unpacked, and may have": bomb.getvalue(),
        "is no zip file": b"PK\x03\x04 and nothing more",
    }
    with channel(agents.clients[0], authorities) as line:
        for why, data in harmful.items():
            pieces = [jobs_pb2.UploadPiece(data=data[at : at + 1000]) for at in range(0, len(data), 1000)]
            messages = [piece.SerializeToString() for piece in pieces]
            code, answer = said(line, "/limnad.v1.JobService/Upload", *messages, token=agents.token)
            assert (code, why.strip(", ") in answer) == (REFUSED, True), answer
    assert not list(agents.folder.parent.glob("**/outside.py"))


def zipped(name: str | zipfile.ZipInfo) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr(name, "x")
    return held.getvalue()


# -- agents and engines ------------------------------------------------------------------------------------------------


def test_only_a_worker_of_this_authority_may_register(agents: SecuredAgents) -> None:
    authority = read_pair(agents.folder / "ca.crt", agents.folder / "ca.key")
    trusted = as_pem(authority)[0]
    leader, worker = "leader.limnad.internal", "worker.limnad.internal"
    stranger = make_authority()
    pairs = {
        "none": None,
        "expired": issue(authority, [worker], days=-1),
        "another authority's": issue(stranger, [worker]),
    }
    for why, pair in pairs.items():
        with channel(agents.addresses[0], trusted, pair, leader) as line:
            assert said(line, REGISTER, HELLO)[0] is UNAVAILABLE, why
    for names in (["coordinator.limnad.internal"], [leader], ["worker.another.domain"], ["xworker.limnad.internal"]):
        with channel(agents.addresses[0], trusted, issue(authority, names), leader) as line:
            code, why = said(line, REGISTER, HELLO)
            assert (code, f"needs a certificate of {worker}" in why or f"is for a certificate of {worker}" in why) == (
                DENIED,
                True,
            )
    with channel(agents.addresses[0], trusted, issue(authority, [worker]), leader) as line:
        assert said(line, REGISTER, HELLO)[0] is grpc.StatusCode.OK, "one that hangs up at once"
        assert said(line, LIST)[0] is grpc.StatusCode.UNIMPLEMENTED, "clients are served elsewhere"
    # The other side: one that answers there, and is no leader.
    with channel(agents.addresses[1], trusted, issue(authority, [worker]), leader) as line:
        code, why = said(line, REGISTER, HELLO)
        assert (code, "Hostname Verification" in why) == (UNAVAILABLE, True)
    with agents.client() as client:
        assert [agent.index for agent in client.cluster().agents] == [0, 1]


@pytest.mark.parametrize("plane", ["mtls", "plain"])
def test_streams_of_engines_are_for_engines_of_that_generation(tmp_path: Path, plane: str) -> None:
    with SecuredAgents(1, "--data-plane", plane, "--slots", "2", folder=tmp_path).start(0) as agents:
        agents.gathered()
        with agents.client() as client:
            job = client.submit(write_job(tmp_path), workers=2, arguments={"epochs": 500})
            next(iter(job.outputs()))
            authority = read_pair(agents.folder / "ca.crt", agents.folder / "ca.key")
            worker = "worker.limnad.internal"
            addresses = [each for pid in engines_of(agents.processes[0].pid) for each in listening(pid)]
            assert addresses
            for address in addresses:
                line = (
                    channel(address, as_pem(authority)[0], issue(authority, [worker]), worker)
                    if plane == "mtls"
                    else grpc.insecure_channel(address)
                )
                metadata = (("limnad-job", job.name), ("limnad-generation", "1"), ("limnad-worker", "0"))
                with line:
                    call: Any = line.stream_unary("/limnad.v1.Exchange/Data")
                    for secret in ((), (("limnad-secret", "guessed"),)):
                        with pytest.raises(grpc.RpcError) as refused:
                            call(iter(()), metadata=(*metadata, *secret), timeout=20)
                        assert refused.value.code() in (REFUSED, DENIED, grpc.StatusCode.FAILED_PRECONDITION)
            with grpc.insecure_channel(addresses[0]) as line:
                code = said(line, "/limnad.v1.Exchange/Data")[0]
                assert (code is UNAVAILABLE) is (plane == "mtls")
            assert job.status().state == "running"
            job.cancel()


def test_authorities_and_certificates_change_under_a_job(tmp_path: Path) -> None:
    job = write_job(tmp_path)
    with SecuredAgents(3, "--progress", "local+global", folder=tmp_path).start(0, 1, 2) as agents:
        agents.gathered()
        with agents.client() as client:
            running = client.submit(
                job, arguments={"epochs": 300}, checkpointing=Checkpointing(f"dir:{tmp_path / 'store'}", every_s=0.2)
            )
            seen = {}
            for count, (name, epoch, rows) in enumerate(running.outputs()):
                seen[name, epoch] = sorted(map(list, rows))
                if count == 20:
                    make_certificates(agents.folder, new_authority=True)
                    agents.kill(2)  # What starts from now on has new certificates; the others have proved theirs.
                    agents.start(2)
                if count == 150:
                    drop_old_authority(agents.folder)
                    agents.kill(1)
                    agents.start(1)
            assert seen == expected(300)
            assert running.wait().recovery.generation > 1
            assert agents.gathered() == [0, 1, 2]
            client.jobs()


def drop_old_authority(folder: Path) -> None:
    newest = as_pem(read_pair(folder / "ca.crt", folder / "ca.key"))[0]
    for file in (folder / "ca.crt", *folder.glob("*/ca.crt")):
        file.write_bytes(newest)


# -- what else is served -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", ["metrics", "ui"])
def test_page_and_metrics_have_the_same_tls_and_tokens(agents: SecuredAgents, service: str) -> None:
    url = announced(agents)[service] + ("" if service == "metrics" else "api/jobs")
    assert url.startswith("https://")
    trusting = ssl.create_default_context(cafile=agents.authorities)
    good = urllib.request.Request(url, headers={"Authorization": f"Bearer {agents.token}"})
    with urllib.request.urlopen(good, context=trusting, timeout=20) as answer:
        assert answer.status == 200
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": agents.token}):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(urllib.request.Request(url, headers=headers), context=trusting, timeout=20)
    with pytest.raises((urllib.error.URLError, ConnectionError, OSError)):
        urllib.request.urlopen(url.replace("https:", "http:"), timeout=20)


def test_metrics_and_health_are_open_where_that_is_asked_for(tmp_path: Path) -> None:
    flags = ("--metrics-port", "0", "--metrics-open", "--health-listen", "127.0.0.1:0")
    with SecuredAgents(1, *flags, folder=tmp_path).start(0) as agents:
        agents.gathered()
        urls = announced(agents)
        with urllib.request.urlopen(urls["metrics"], timeout=20) as answer:
            assert b"limnad_build_info" in answer.read()
        with grpc.insecure_channel(urls["probes"]) as line:
            check = health_pb2.HealthCheckRequest().SerializeToString()
            assert said(line, "/grpc.health.v1.Health/Check", check)[0] is grpc.StatusCode.OK
            assert said(line, LIST)[0] is grpc.StatusCode.UNIMPLEMENTED


def test_agents_without_certificates_show_a_token_to_each_other(tmp_path: Path) -> None:
    tokens = tmp_path / "token"
    tokens.write_text("a-token-of-this-cluster\n")
    with Agents(2, "--token-file", str(tokens), folder=tmp_path).start(0, 1) as agents:
        with Client(agents.addresses[0], token_file=str(tokens)) as client:
            assert [agent.index for agent in client.cluster(wait_s=60).agents] == [0, 1]
        with grpc.insecure_channel(agents.addresses[0]) as line:
            assert said(line, REGISTER, HELLO)[0] is UNAUTHENTICATED
            assert said(line, LIST)[0] is UNAUTHENTICATED


def test_nothing_is_open_to_others_unless_somebody_says_so(tmp_path: Path) -> None:
    make_certificates(tmp_path / "tls")
    own = tmp_path / "tls" / "leader"
    tls = ["--tls-cert", str(own / "tls.crt"), "--tls-key", str(own / "tls.key"), "--tls-ca", str(own / "ca.crt")]
    tokens = ["--token-file", str(tmp_path / "tls" / "token")]
    beyond = [["--listen", "0.0.0.0:0"], ["--advertise", "10.1.2.3"], ["--ui-address", "0.0.0.0:0"]]
    for flags in beyond:
        why = refusal(*flags)
        assert all(flag in why for flag in (flags[0], "--tls-cert", "--token-file", "--insecure")), why
        assert "--tls-cert" in refusal(*flags, *tokens)
        assert "--token-file" in refusal(*flags, *tls)
    assert "belong together" in refusal(*tls[:2])
    assert "cannot be read" in refusal(*tls[:4], "--tls-ca", "nowhere.crt")
    assert "are no certificate and its key" in refusal(*tls[:2], "--tls-key", str(own / "ca.crt"), *tls[4:])
    (tmp_path / "short").write_text("short\n")
    assert "line 1" in refusal("--token-file", str(tmp_path / "short"))
    assert starts("--listen", "0.0.0.0:0", "--insecure")
    assert starts("--listen", "0.0.0.0:0", *tls, *tokens)


def refusal(*flags: str) -> str:
    """Why an agent does not start."""
    done = subprocess.run(
        [*LIMNAD, "worker", *flags], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False
    )
    assert done.returncode in (1, 2), done
    return done.stderr + done.stdout


def starts(*flags: str) -> bool:
    """Whether an agent does."""
    with subprocess.Popen(
        [*LIMNAD, "worker", *flags], stdout=subprocess.PIPE, stdin=subprocess.PIPE, env=dict(os.environ), text=True
    ) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    return "address" in told


def test_secrets_are_in_no_log_and_in_no_process_list(tmp_path: Path) -> None:
    folder = tmp_path / "cluster"
    environment = {**os.environ, "LIMNAD_CLUSTER_FOLDER": str(folder), "LIMNAD_LOG_FORMAT": "json"}
    environment |= {"LIMNAD_LOG_LEVEL": "debug", "LIMNAD_TOKEN": "a-token-that-is-for-another-cluster"}
    for name in ("LIMNAD_TLS_CA", "LIMNAD_TOKEN_FILE"):
        environment.pop(name, None)

    def limnad(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*LIMNAD, *arguments], env=environment | more, capture_output=True, text=True, timeout=200, check=False
        )

    up = limnad("cluster", "up", "-w", "2", "--tls", "--store", f"dir:{tmp_path / 'store'}")
    try:
        assert up.returncode == 0, up.stderr
        token = (folder / "tls" / "token").read_text().strip()
        key = (folder / "tls" / "leader" / "tls.key").read_text().splitlines()[1]
        done = limnad("submit", write_job(tmp_path), "-w", "2", "-a", "epochs=5", "--wait")
        assert done.returncode == 0, done.stderr
        address = json.loads(limnad("cluster", "status", "-o", "json").stdout)["address"]
        wrong = limnad("jobs", "--cluster", address, "--tls-ca", str(folder / "tls" / "ca.crt"))
        assert (wrong.returncode != 0, "does not let this client in" in wrong.stderr) == (True, True)
        good = {"LIMNAD_TLS_CA": str(folder / "tls" / "ca.crt"), "LIMNAD_TOKEN_FILE": str(folder / "tls" / "token")}
        assert "finished" in limnad("jobs", "--cluster", address, **good).stdout
        assert not list(processes_with(token))
        assert (folder / "cluster.json").stat().st_mode & 0o077 == 0
        assert folder.stat().st_mode & 0o077 == 0
    finally:
        down = limnad("cluster", "down")
    logs = [file.read_text(errors="replace") for file in folder.glob("*.log")]
    printed = [text for done in (up, wrong, down) for text in (done.stdout, done.stderr)]
    assert logs
    assert not [text for text in logs + printed if token in text or key in text or "for-another-cluster" in text]


def test_who_says_nothing_holds_up_nobody(agents: SecuredAgents) -> None:
    urls = announced(agents)
    ports = [urlsplit(url).port for url in (f"https://{agents.clients[0]}", urls["ui"], urls["metrics"])]
    silent = [socket.create_connection(("127.0.0.1", port)) for port in ports for _ in range(20)]
    try:
        with agents.client() as client:
            client.jobs()
        test_page_and_metrics_have_the_same_tls_and_tokens(agents, "ui")
        test_page_and_metrics_have_the_same_tls_and_tokens(agents, "metrics")
    finally:
        for each in silent:
            each.close()


def test_a_push_that_is_too_large_says_so(tmp_path: Path) -> None:
    file = tmp_path / "fed.py"
    file.write_text("def job(flow):\n    flow.input('words').map(len).output('lengths')\n")
    with SecuredAgents(1, "--max-message", "1MiB", folder=tmp_path).start(0) as agents:
        agents.gathered()
        with agents.client() as client:
            job = client.submit(str(file), workers=1)
            with pytest.raises(JobError, match=r"larger than max|may have 1,048,576 bytes"):
                job.input("words").on_next(["x" * (5 << 20)])
            job.input("words").on_next(["fits"])
            job.input("words").close()
            assert dict(job.subscribe("lengths")) == {0: [4]}
