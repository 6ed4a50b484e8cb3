"""What a Python job's process calls: the function, its arguments by their annotations, its resources, its result.

It runs in the job's process: only the standard library is imported, and pydantic where an annotation needs it.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import traceback
import typing
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

RESULT_BYTES = 256 * 1024
_FRAMES = 20
_TRACE = 8000
_LINE = 500
_PLAIN = (str, int, float, bool, list, dict)


class NotCallableError(Exception):
    """The function cannot be had, or not with this run_config; the text says why, for a person."""


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One parameter, and how its value is made of JSON."""

    name: str
    annotation: Any
    needed: bool
    convert: Callable[[Any], Any] | None


class Found:
    """A function that is ready to be called, with what opens its resources."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self.spec = spec
        self.function = named(spec["function"])
        if not callable(self.function):
            raise NotCallableError(f"{spec['function']} is a {type(self.function).__name__}, and no function")
        self.resources = {name: (named(one["factory"]), one["arguments"]) for name, one in spec["resources"].items()}
        self.parameters, self.takes_all = parameters(self.function, frozenset(self.resources))

    def arguments(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """What it is called with. NotCallableError names what is missing, not known, or of another kind."""
        known = {one.name for one in self.parameters}
        names = ", ".join(known - self.resources.keys()) or "nothing"
        if unknown := [name for name in config if name not in known and not self.takes_all]:
            raise NotCallableError(f"run_config: {self._name} takes {names}, and no {unknown[0]}")
        found = {name: value for name, value in config.items() if name not in known}
        for one in self.parameters:
            if one.name in config:
                found[one.name] = _converted(one, config[one.name])
            elif one.needed and one.name not in self.resources:
                raise NotCallableError(f"run_config: {one.name} is missing")
        return found

    def call(self, arguments: dict[str, Any]) -> Any:
        """Open the resources in their order, call it, and close them, whatever happens."""
        with ExitStack() as stack:
            for name, (factory, given) in self.resources.items():
                resource = stack.enter_context(_opened(name, factory, given))
                if self.takes_all or any(one.name == name for one in self.parameters):
                    arguments[name] = resource
            result = self.function(**arguments)
            return _run(result) if inspect.isawaitable(result) else result

    @property
    def _name(self) -> str:
        return str(self.spec["function"]).partition(":")[2]


def _run(result: Any) -> Any:
    import asyncio  # As long to import as everything else here.

    async def awaited() -> Any:
        return await result

    return asyncio.run(awaited())


def named(text: str) -> Any:
    """What `module:name` is; NotCallableError where there is none."""
    module, _, path = text.partition(":")
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        raise NotCallableError(f"there is no module {module!r}; check python, and path") from None
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise NotCallableError(f"there is no {path!r} in {module}") from None
    return found


def parameters(function: Any, resources: frozenset[str]) -> tuple[list[Parameter], bool]:
    """A function's parameters by name, and whether it takes others as well. NotCallableError: it cannot be called."""
    try:
        signature = inspect.signature(function)
        hints = typing.get_type_hints(function, include_extras=True)
    except (TypeError, ValueError, NameError) as error:
        raise NotCallableError(f"the annotations of {function!r} cannot be read: {error}") from None
    found, takes_all = [], False
    for one in signature.parameters.values():
        if one.kind is one.VAR_KEYWORD:
            takes_all = True
        elif one.kind is one.POSITIONAL_ONLY:
            raise NotCallableError(f"its parameter {one.name} can only be given by position; remove the /")
        elif one.kind is not one.VAR_POSITIONAL:
            annotation = Any if one.name in resources else hints.get(one.name, Any)
            needed = one.default is one.empty
            found.append(Parameter(one.name, annotation, needed, _converter(annotation)))
    return found, takes_all


def _converter(annotation: Any) -> Callable[[Any], Any] | None:
    if annotation is Any or annotation in _PLAIN:
        return None  # Found when it is needed: a value that is of this type already needs nothing.
    return _adapter(annotation)


def _adapter(annotation: Any) -> Callable[[Any], Any]:
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticUserError

    try:
        return TypeAdapter(annotation).validate_python
    except PydanticUserError as error:
        said = str(error).partition("\n")[0]
        raise NotCallableError(f"the annotation {annotation!r} is none that JSON can become: {said}") from None


def _converted(one: Parameter, value: Any) -> Any:
    if one.annotation is Any or type(value) is one.annotation:
        return value
    from pydantic import ValidationError

    try:
        return (one.convert or _adapter(one.annotation))(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in (one.name, *first["loc"]))
        raise NotCallableError(f"run_config: {place}: {first['msg']}") from None


def _opened(name: str, factory: Any, given: Mapping[str, Any]) -> Any:
    """What a factory makes, as a context manager."""
    if inspect.isgeneratorfunction(factory):
        return contextmanager(factory)(**given)
    made = factory(**given)
    if hasattr(type(made), "__enter__") and hasattr(type(made), "__exit__"):
        return made
    if callable(getattr(made, "close", None)):
        return _closing(made)
    kind = type(made).__name__
    raise NotCallableError(f"the resource {name} is a {kind}: it needs to be a context manager, or to have close()")


@contextmanager
def _closing(made: Any) -> Any:
    with closing(made):
        yield made


def metadata_of(result: Any) -> dict[str, Any]:
    """A return value as a run's metadata: of a mapping, a model or a dataclass its fields, else `result`."""
    if result is None:
        return {}
    if callable(dump := getattr(type(result), "model_dump", None)):
        result = dump(result, mode="json")
    elif dataclasses.is_dataclass(result) and not isinstance(result, type):
        result = dataclasses.asdict(result)
    found = {str(key): value for key, value in result.items()} if isinstance(result, Mapping) else {"result": result}
    try:
        text = json.dumps(found, default=_plain, allow_nan=False)
    except (ValueError, RecursionError):  # NaN, or a circle.
        return {"result": _shortened(repr(result))}
    if len(text) > RESULT_BYTES:
        return {"result": f"{_shortened(text)} (longer than {RESULT_BYTES} bytes, and not kept)"}
    kept: dict[str, Any] = json.loads(text)
    return kept


def _plain(value: Any) -> Any:
    if callable(iso := getattr(value, "isoformat", None)):
        return iso()
    if callable(item := getattr(value, "item", None)):  # A scalar of NumPy and its kin.
        return item()
    return list(value) if isinstance(value, set | frozenset | tuple) else str(value)


def told(error: BaseException) -> dict[str, Any]:
    """An error for whoever reads of the run: one line, and the end of the traceback from the job's own code on."""
    line = _shortened("".join(traceback.format_exception_only(error)).strip().replace("\n", " "))
    frames = [one for one in traceback.extract_tb(error.__traceback__) if Path(one.filename) != Path(__file__)]
    text = "".join(traceback.format_list(frames[-_FRAMES:]))
    return {"exception": line, "traceback": text[-_TRACE:] + line}


def _shortened(text: str) -> str:
    return text if len(text) <= _LINE else f"{text[: _LINE - 1]}…"
