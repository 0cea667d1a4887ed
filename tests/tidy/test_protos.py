"""Generated code is what the pinned generator makes of the .proto files."""

import os
import subprocess
import sys
from pathlib import Path

from tests.tidy.conftest import GENERATED_SUFFIXES, Repository

EXAMPLE = """
syntax = "proto3";
package limnad.example.v1;
import "limnad_proto/v1/%s.proto";
message Question { limnad.example.v1.Other other = 1; }
service Example { rpc Ask(Question) returns (stream limnad.example.v1.Other); }
"""
OTHER = """
syntax = "proto3";
package limnad.example.v1;
message Other { string text = 1; }
"""


def generate(repository: Repository, out: Path, *arguments: str) -> None:
    # This interpreter's environment has the pinned generator: nothing is installed.
    environment = os.environ | {"LIMNAD_PYTHON": sys.executable}
    command = [str(repository.root / "script" / "protos"), "--out", str(out), *arguments]
    subprocess.run(command, env=environment, check=True, capture_output=True, text=True)


def generated(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.name.endswith(GENERATED_SUFFIXES)
    }


def test_checked_in_code_is_current(repository: Repository, tmp_path: Path) -> None:
    generate(repository, tmp_path)
    fresh, kept = generated(tmp_path), generated(repository.root / "proto")
    assert sorted(kept) == sorted(fresh), "run script/protos"
    assert [name for name in fresh if fresh[name] != kept[name]] == [], "run script/protos"


def test_generated_imports_name_the_package(repository: Repository, tmp_path: Path) -> None:
    source = tmp_path / "source" / "limnad_proto" / "v1"
    source.mkdir(parents=True)
    (source / "other.proto").write_text(OTHER, encoding="utf-8")
    (source / "example.proto").write_text(EXAMPLE % "other", encoding="utf-8")
    generate(repository, tmp_path / "out", "--from", str(tmp_path / "source"))
    code = generated(tmp_path / "out")
    stem = "limnad_proto/v1/example_pb2"
    for name in (f"{stem}.py", f"{stem}.pyi", f"{stem}_grpc.py", f"{stem}_grpc.pyi"):
        assert "from limnad_proto.v1 import other_pb2" in code[name], name
