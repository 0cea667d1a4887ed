"""What the tidy tests look at: the repository as git would commit it."""

import ast
import subprocess
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pytest

SOURCE_ROOTS = ("core", "proto", "worker", "coordinator", "operator")
GENERATED_SUFFIXES = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")


@dataclass(frozen=True)
class Repository:
    """The files of the repository, tracked or about to be, and their parsed Python."""

    root: Path
    _parsed: dict[Path, ast.Module] = field(default_factory=dict)

    @cached_property
    def files(self) -> list[Path]:
        """Files that are tracked or not ignored, deleted ones left out."""
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=self.root, check=True, capture_output=True, text=True).stdout
        paths = {self.root / name for name in listed.split("\0") if name}
        return sorted(path for path in paths if path.is_file())

    def python(self, *folders: str) -> list[Path]:
        """Python files that people wrote, in the given folders or everywhere."""
        return [
            path
            for path in self.files
            if path.suffix == ".py"
            and not path.name.endswith(GENERATED_SUFFIXES)
            and (not folders or path.relative_to(self.root).parts[0] in folders)
        ]

    def tree(self, path: Path) -> ast.Module:
        """The syntax tree of a Python file."""
        if path not in self._parsed:
            self._parsed[path] = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        return self._parsed[path]

    def name(self, path: Path) -> str:
        """The path as a reader knows it."""
        return path.relative_to(self.root).as_posix()

    @property
    def source_roots(self) -> list[Path]:
        """The component folders, each holding one package."""
        return [self.root / name for name in SOURCE_ROOTS]

    def packages(self) -> list[Path]:
        """Folders of all public packages in the source roots."""
        return [
            path.parent
            for path in self.python(*SOURCE_ROOTS)
            if path.name == "__init__.py" and not any(part.startswith("_") for part in path.parent.parts)
        ]


@pytest.fixture(scope="session")
def repository() -> Repository:
    return Repository(Path(__file__).parents[2])
