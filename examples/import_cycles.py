"""Import cycles of the Python files in a folder, kept live while the files change.

Prints the cycles that there are, then with each change those that come (+) and go (-); of the standard library, or of
any folder:

    pip install watchfiles
    python examples/import_cycles.py [FOLDER]

A cycle is a strongly connected component of more than one module. What counts is what runs at import: statements in
functions do not. That a package is imported before its modules is left out, or nearly all packages were cycles.
"""

import ast
import sys
import sysconfig
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl

import limnad
from limnad.graph.incremental import connected_components, strong_edges
from limnad.incremental import from_stream

MODULES = {"name": str, "diff": int}
WANTED = {"module": str, "name": str, "otherwise": str, "diff": int}
LEFT_OUT = {"__pycache__", "site-packages", "test"}
WATCH_MS = 500

Want = tuple[str, str, str]
"""A module, what it imports, and what that is instead where there is no module of that name."""


def job(flow: limnad.Flow) -> None:
    modules = from_stream(flow.input("modules", MODULES), "diff")
    wanted = from_stream(flow.input("wanted", WANTED), "diff")
    exact = wanted.join(modules, "name", "semi").select(src="module", dst="name")
    fallen_back = wanted.join(modules, "name", "anti").select("module", name="otherwise")
    instead = fallen_back.join(modules, "name", "semi").select(src="module", dst="name")
    imports = exact.concat(instead).filter(pl.col("src") != pl.col("dst"))

    # No edge leads from one strong component to another among those on cycles, so that weak ones are the same.
    cycles = connected_components(strong_edges(imports)).group_by("component")
    cycles.agg(pl.col("node").sort().str.join(", ").alias("modules")).select("modules").output("cycles")


def imported(module: str, package: str, statements: Iterable[ast.AST]) -> Iterator[Want]:
    """What a module imports while it is imported itself."""
    for statement in statements:
        match statement:
            case ast.Import(names=names):
                yield from ((module, alias.name, "") for alias in names)
            case ast.ImportFrom(module=name, names=names, level=level):
                above = package.split(".")[: len(package.split(".")) - level + 1] if level else []
                origin = ".".join([*above, name] if name else above)
                yield from ((module, f"{origin}.{alias.name}", origin) for alias in names)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                continue
            case _:
                yield from imported(module, package, ast.iter_child_nodes(statement))


class Files:
    """What the files in a folder import, and by how much that differs when some have changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: dict[Path, set[Want]] = {}

    def module(self, file: Path) -> str:
        parts = file.relative_to(self.folder).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def below(self, path: Path) -> set[Path]:
        """The Python files that are or were at a path or below it."""
        there = path.rglob("*.py") if path.is_dir() else [path] if path.suffix == ".py" else []
        found = {*there, *(file for file in self.told if file.is_relative_to(path))}
        return {file for file in found if not LEFT_OUT.intersection(file.relative_to(self.folder).parts)}

    def read(self, file: Path) -> set[Want] | None:
        """What a file imports; what it did before if it cannot be parsed; None if there is none."""
        try:
            with warnings.catch_warnings(action="ignore"):
                tree = ast.parse(file.read_bytes())
        except FileNotFoundError:
            return None
        except (SyntaxError, ValueError):
            return self.told.get(file, set())
        module = self.module(file)
        package = module if file.name == "__init__.py" else module.rpartition(".")[0]
        return set(imported(module, package, tree.body))

    def changes(self, files: Iterable[Path]) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Of modules and of what is wanted."""
        modules: Counter[str] = Counter()
        wanted: Counter[Want] = Counter()
        for file in files:
            before, now = self.told.pop(file, None), self.read(file)
            modules[self.module(file)] += (now is not None) - (before is not None)
            wanted.update(now or ())
            wanted.subtract(before or ())
            if now is not None:
                self.told[file] = now
        return (
            pl.DataFrame([(name, diff) for name, diff in modules.items() if diff], MODULES, orient="row"),
            pl.DataFrame([(*want, diff) for want, diff in wanted.items() if diff], WANTED, orient="row"),
        )


def changed_paths(folder: Path) -> Iterator[set[Path]]:
    """The whole folder once it is watched, then what changes in it."""
    from watchfiles import watch

    first = True
    for changes in watch(folder, yield_on_timeout=True, rust_timeout=WATCH_MS, raise_interrupt=False):
        if first or changes:
            yield {Path(path) for _, path in changes} if not first else {folder}
        first = False


def main(folder: Path) -> None:
    files = Files(folder)
    with limnad.local(__file__, workers=2) as running:
        cycles = running.subscribe("cycles")
        for epoch, paths in enumerate(changed_paths(folder)):
            began_s = time.perf_counter()
            changed = set().union(*map(files.below, paths))
            changes = files.changes(changed)
            read_s = time.perf_counter()
            for name, rows in zip(("modules", "wanted"), changes, strict=True):
                running.input(name).on_next(rows)
                running.input(name).advance_to(epoch + 1)
            _, differences = next(cycles)
            read_ms, took_ms = 1_000 * (read_s - began_s), 1_000 * (time.perf_counter() - read_s)
            print(
                f"{len(changed)} files read in {read_ms:,.0f} ms, {len(differences)} differences in {took_ms:,.0f} ms",
                flush=True,
            )
            for modules, diff in sorted(differences.rows(), key=lambda row: (row[1], row[0])):
                print("+" if diff > 0 else "-", modules, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else sysconfig.get_path("stdlib")).resolve())
