"""Finding the job in a user's file, and building its dataflow: what an engine and `limnad graph` do first."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from limnad.errors import JobError
from limnad.stream.flow import BuiltFlow, Flow

DEFAULT_FUNCTION = "job"


def split_target(target: str) -> tuple[str, str]:
    """Splits ``FILE[:FUNCTION]``.

    >>> split_target("a/job.py"), split_target("job.py:count")
    (('a/job.py', 'job'), ('job.py', 'count'))
    """
    path, colon, function = target.rpartition(":")
    return (path, function) if colon and path else (target, DEFAULT_FUNCTION)


def job_file(path: str) -> Path:
    """The file, if it is there.

    Raises:
        JobError: It is not.
    """
    file = Path(path)
    if not file.is_file():
        what = "it is a folder" if file.is_dir() else f"looked from {Path.cwd()}"
        raise JobError(f"there is no job file {path!r} ({what})")
    return file


def build_job(path: str, function: str, arguments: Mapping[str, str]) -> BuiltFlow:
    """Imports a job file, calls its function with a new flow, and checks what it described.

    Raises:
        JobError: The file, the function or the arguments are wrong; what the user's own code raises comes through.
    """
    job = find_function(load_module(path), path, function)
    flow = Flow()
    job(flow, **convert_arguments(job, path, arguments))
    return flow.build()


def load_module(path: str) -> ModuleType:
    """Imports a Python file, its folder first on the module path, as a script's would be.

    Raises:
        JobError: There is no such file. What the file itself raises comes through.
    """
    file = job_file(path)
    folder = str(file.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    name = file.stem if file.stem.isidentifier() and file.stem not in sys.modules else f"limnad_job_{abs(hash(path))}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise JobError(f"{path!r} is not a Python file: a job is a .py file with a function job(flow)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def find_function(module: ModuleType, path: str, function: str) -> Callable[..., None]:
    """The job's function.

    Raises:
        JobError: It is not there, is no function, or takes no flow.
    """
    found = getattr(module, function, None)
    if found is None:
        jobs = [name for name, value in vars(module).items() if _is_job(value, module)]
        hint = f"it has {', '.join(jobs)}; say limnad run {path}:{jobs[0]}" if jobs else "define def job(flow): ..."
        raise JobError(f"{path} has no function {function!r}: {hint}")
    if not callable(found) or not inspect.signature(found).parameters:
        raise JobError(f"{function!r} in {path} is no job: a job is a function whose first parameter is the flow")
    return found  # type: ignore[no-any-return]


def _is_job(value: Any, module: ModuleType) -> bool:
    return (
        inspect.isfunction(value)
        and value.__module__ == module.__name__
        and next(iter(inspect.signature(value).parameters), "") == "flow"
    )


def convert_arguments(job: Callable[..., None], path: str, arguments: Mapping[str, str]) -> dict[str, Any]:
    """Converts ``key=value`` strings to the types that the job's parameters declare.

    Raises:
        JobError: A name that is not a parameter, a value that does not fit, or a parameter without a value.
    """
    parameters = dict(list(inspect.signature(job).parameters.items())[1:])
    hints = get_type_hints(job)
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    converted: dict[str, Any] = {}
    for name, text in arguments.items():
        if name not in parameters and not takes_any:
            known = ", ".join(parameters) or "none"
            raise JobError(f"the job {job.__name__!r} in {path} has no argument {name!r}; it takes: {known}")
        converted[name] = _convert(job, path, name, text, hints.get(name, _guess_type(parameters.get(name))))
    for name, parameter in parameters.items():
        needed = parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
        if needed and name not in converted:
            raise JobError(f"the job {job.__name__!r} in {path} needs the argument {name!r}: pass -a {name}=VALUE")
    return converted


def _guess_type(parameter: inspect.Parameter | None) -> Any:
    """Without an annotation, the type of the default value."""
    if parameter is None or parameter.default is parameter.empty or parameter.default is None:
        return str
    return type(parameter.default)


def _convert(job: Callable[..., None], path: str, name: str, text: str, wanted: Any) -> Any:
    adapter = TypeAdapter(wanted)
    try:
        return adapter.validate_strings(text)
    except ValidationError as error:
        try:
            return adapter.validate_json(text)
        except ValidationError:
            pass
        problem = error.errors()[0]["msg"].lower()
        raise JobError(
            f"argument {name}={text} of the job {job.__name__!r} in {path} does not fit: {problem}"
        ) from None
