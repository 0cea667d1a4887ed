"""Files that change under a process: certificates and tokens."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from limnad.cli.certificates import issue, make_authority, make_certificates, read_pair, write_pair
from limnad_proto.rereading import Rereading
from limnad_proto.tls import Role, Tls, own_tls
from limnad_proto.tokens import Tokens, bearer


def test_a_file_is_read_again_only_when_it_has_changed(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("1")
    made: list[bytes] = []

    def make(contents: object) -> int:
        assert isinstance(contents, list)
        made.extend(contents)
        return int(contents[0])

    reading = Rereading([file], make)
    assert [reading.get(), reading.get(), len(made)] == [1, 1, 1]
    file.write_text("22")
    assert [reading.get(), reading.get(), len(made)] == [22, 22, 2]
    file.write_text("none")
    assert [reading.get(), reading.get(), len(made)] == [22, 22, 3]
    file.unlink()
    assert reading.get() == 22
    file.write_text("333")
    assert reading.get() == 333


def test_a_link_that_is_turned_is_a_change(tmp_path: Path) -> None:
    for name, text in (("old", "1"), ("new", "2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "token").write_text(text)
    link = tmp_path / "data"
    link.symlink_to("old")
    reading = Rereading([link / "token"], lambda contents: contents[0])
    assert reading.get() == b"1"
    (tmp_path / "turned").symlink_to("new")
    (tmp_path / "turned").replace(link)
    assert reading.get() == b"2"


def test_tokens_come_and_go_and_a_file_that_is_wrong_lets_nobody_in(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("# mine\nfirst-token-of-two\n\n  second-token-of-two  \n")
    tokens = Tokens(file)
    assert tokens.first == "first-token-of-two"
    assert [tokens.admit(f"{name}-token-of-two") for name in ("first", "second", "third", "")] == [
        True,
        True,
        False,
        False,
    ]
    assert not tokens.admit("")
    file.write_text("second-token-of-two\n")
    assert [tokens.admit("first-token-of-two"), tokens.admit("second-token-of-two")] == [False, True]
    file.write_text("second-token-of-two\nshort\n")
    assert not tokens.admit("second-token-of-two")
    file.write_text("second-token-of-two\n")
    assert tokens.admit("second-token-of-two")
    file.unlink()
    assert (tokens.admit("second-token-of-two"), tokens.first) == (False, "")


@pytest.mark.parametrize("text", ["", "# nothing\n", "fifteen-letters\n", "two words of some length\n", "ü" * 20])
def test_what_is_no_token_is_refused_at_the_start(tmp_path: Path, text: str) -> None:
    file = tmp_path / "token"
    file.write_text(text)
    with pytest.raises(ValueError, match="token"):
        Tokens(file)


def test_a_token_is_a_bearer_token() -> None:
    assert bearer({"authorization": "bearer  x "}) == "x"
    assert [bearer({"authorization": text}) for text in ("x", "Basic x", "Bearer", "")] == [""] * 4
    assert bearer({}) == ""


def test_a_certificate_and_its_key_change_together(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    own = tmp_path / "worker"
    tls = Tls(str(own / "tls.crt"), str(own / "tls.key"), str(own / "ca.crt"))
    before = tls.keys
    renewed = issue(read_pair(tmp_path / "ca.crt", tmp_path / "ca.key"), [tls.name(Role.WORKER)])
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    write_pair(scratch, renewed)
    (own / "tls.key").write_bytes((scratch / "tls.key").read_bytes())
    assert tls.keys == before, "half of a pair is none"
    (own / "tls.crt").write_bytes((scratch / "tls.crt").read_bytes())
    assert tls.keys.certificate == (scratch / "tls.crt").read_bytes()


def test_certificates_are_renewed_and_authorities_join(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    first = {file.relative_to(tmp_path): file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    make_certificates(tmp_path, ["limnad.example.org", "10.1.2.3"])
    second = {file.relative_to(tmp_path): file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    changed = {str(name) for name in first if first[name] != second[name]}
    assert changed == {f"{role}/tls.{end}" for role in ("leader", "worker", "coordinator") for end in ("crt", "key")}
    make_certificates(tmp_path, new_authority=True)
    trusted = (tmp_path / "ca.crt").read_bytes()
    assert trusted.endswith(first[Path("ca.crt")])
    assert trusted.count(b"BEGIN CERTIFICATE") == 2
    assert all((tmp_path / role / "ca.crt").read_bytes() == trusted for role in ("leader", "worker", "coordinator"))
    assert not [file for file in tmp_path.rglob("*") if file.stat().st_mode & 0o077]


def test_openssl_itself_takes_them(tmp_path: Path) -> None:
    """The strictest reader that is at hand."""
    make_certificates(tmp_path)
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(tmp_path / "leader" / "tls.crt", tmp_path / "leader" / "tls.key")
    ends = (ssl.MemoryBIO(), ssl.MemoryBIO())
    client = context.wrap_bio(ends[0], ends[1], server_hostname="leader.limnad.internal")
    server = serving.wrap_bio(ends[1], ends[0], server_side=True)
    for _ in range(4):
        for each in (client, server):
            try:
                each.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert client.version() == "TLSv1.3"


def test_a_process_finds_its_files_in_its_environment(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    files = {"CERT": "tls.crt", "KEY": "tls.key", "CA": "ca.crt"}
    told = {f"LIMNAD_TLS_{name}": str(tmp_path / "worker" / file) for name, file in files.items()}
    assert own_tls({}) is None
    assert own_tls({"LIMNAD_TLS_CA": told["LIMNAD_TLS_CA"]}) is None, "that is what a client has"
    with pytest.raises(ValueError, match="belong together"):
        own_tls({"LIMNAD_TLS_CERT": told["LIMNAD_TLS_CERT"]})
    tls = own_tls(told | {"LIMNAD_TLS_DOMAIN": "here", "LIMNAD_DATA_PLANE": "plain"})
    assert tls is not None
    assert [tls.name(Role.LEADER), tls.covers(Role.LEADER), tls.covers(Role.WORKER)] == ["leader.here", True, False]


def test_half_made_authorities_are_refused_with_a_sentence(tmp_path: Path) -> None:
    stray = make_authority()
    write_pair(tmp_path, stray)
    (tmp_path / "ca.crt").write_text("no certificate")
    with pytest.raises(ValueError, match="holds no certificates of authorities"):
        Tls(str(tmp_path / "tls.crt"), str(tmp_path / "tls.key"), str(tmp_path / "ca.crt"))
