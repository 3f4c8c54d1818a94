"""A data set named as `module:attribute`, with arguments in text -> the data set itself."""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from holdfast.data.map_style import MapStyle
from holdfast.errors import IngestError

_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_SHOWN = 12


def is_dataset_name(text: str) -> bool:
    """Return whether a text names a data set, as `torchvision.datasets:CIFAR10`.

    Examples
    --------
    >>> [is_dataset_name(text) for text in ("a.b:C", "s3://bucket/a", "photos", "a:b/c")]
    [True, False, False, False]
    """
    return _NAME.fullmatch(text) is not None


def read_arguments(given: Sequence[str]) -> dict[str, Any]:
    """Read `name=value` texts; a value is a TOML literal, else the text itself.

    Raises
    ------
    IngestError
        If a text has no name, or a name comes twice.

    Examples
    --------
    >>> read_arguments(["root=/data", "train=true", "sizes=[1, 2]", "split='10'"])
    {'root': '/data', 'train': True, 'sizes': [1, 2], 'split': '10'}
    """
    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise IngestError(f"--with {text} is no NAME=VALUE; write it like --with train=true")
        if name in found:
            raise IngestError(f"--with {name} is given twice; leave one out")
        found[name] = _value(value)
    return found


def record_name(name: str, arguments: Mapping[str, Any]) -> str:
    """Return what the data set is called on record: the same for the same arguments.

    Examples
    --------
    >>> record_name("torchvision.datasets:CIFAR10", {"train": True, "root": "/data"})
    "torchvision.datasets:CIFAR10(root='/data', train=True)"
    """
    return f"{name}({', '.join(f'{key}={arguments[key]!r}' for key in sorted(arguments))})"


def open_dataset(name: str, arguments: Mapping[str, Any]) -> MapStyle:
    """Import what a name stands for, and call it; a data set as it is needs no call.

    Modules are looked for where Python looks, and last in the working directory.

    Raises
    ------
    IngestError
        If the module cannot be imported, has no such attribute, does not take the arguments,
        fails, or gives no map-style data set. The message says what to do.
    """
    module_name, _, path = name.partition(":")
    target: Any = _import(module_name)
    for step in path.split("."):
        target = _attribute(target, step)
    if callable(target):
        made = _call(target, name, arguments)
    elif arguments:
        raise IngestError(
            f"{name} is a {type(target).__name__}, not something to call, so it takes no "
            f"arguments; leave out --with {next(iter(arguments))}=..."
        )
    else:
        made = target
    if isinstance(made, str | bytes | Mapping) or not all(
        hasattr(made, method) for method in ("__len__", "__getitem__")
    ):
        raise IngestError(
            f"{name} gives a {type(made).__name__} but must give a data set: one with len() whose "
            "items are (image, label); write a function that returns one, in a module of yours"
        )
    dataset: MapStyle = made
    return dataset


def _value(text: str) -> Any:
    try:
        read = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    value = read.get("value")
    plain = isinstance(value, bool | int | float | str | list | dict)
    return value if plain and len(read) == 1 else text


def _import(module_name: str) -> Any:
    try:
        with _working_directory_last():
            return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        if module_name == missing or module_name.startswith(f"{missing}."):
            raise IngestError(f"there is no module {missing}; {_instead_of(missing)}") from error
        raise IngestError(
            f"{module_name} needs the module {missing}, which is not installed; "
            f"pip install {missing.partition('.')[0]}"
        ) from error
    except Exception as error:
        raise IngestError(f"{module_name} cannot be imported: {_said(error)}; mend it") from error


def _instead_of(missing: str) -> str:
    owner, _, _ = missing.rpartition(".")
    if owner:
        return f"look at its spelling, {owner} is there"
    # To name what is installed comes first: nobody should install a mistyped name.
    close = difflib.get_close_matches(missing, {one.name for one in pkgutil.iter_modules()}, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"install the package it belongs to, or run from the folder that holds {missing}.py"


@contextmanager
def _working_directory_last() -> Iterator[None]:
    # Last, so that no file here can stand in for an installed module.
    here = str(Path.cwd())
    sys.path.append(here)
    try:
        yield
    finally:
        sys.path.remove(here)


def _attribute(owner: Any, step: str) -> Any:
    try:
        return getattr(owner, step)
    except AttributeError:
        where = getattr(owner, "__name__", type(owner).__name__)
        known = [one for one in dir(owner) if not one.startswith("_")]
        close = difflib.get_close_matches(step, known, n=3) or [
            one for one in known if one.lower() == step.lower()
        ]
        advice = (
            f"did you mean {' or '.join(close)}?"
            if close
            else f"it has {', '.join(known[:_SHOWN])}{', ...' if len(known) > _SHOWN else ''}"
        )
        raise IngestError(f"{where} has no {step}; {advice}") from None


def _call(target: Any, name: str, arguments: Mapping[str, Any]) -> Any:
    signature = _signature(target)
    takes = f"; it takes ({_shown(signature)})" if signature is not None else ""
    if signature is not None:
        try:
            signature.bind(**arguments)
        except TypeError as error:
            close = [
                f"{found[0]}, not {one}"
                for one in arguments
                if one not in signature.parameters
                and (found := difflib.get_close_matches(one, signature.parameters, n=1))
            ]
            hint = f"; did you mean {close[0]}?" if close else ""
            raise IngestError(
                f"{name}: {error}{hint}{takes}; give it by --with NAME=VALUE"
            ) from error
    try:
        return target(**arguments)
    except Exception as error:
        raise IngestError(f"{name} failed with {_said(error)}{takes}") from error


def _signature(target: Any) -> inspect.Signature | None:
    try:
        return inspect.signature(target)
    except (TypeError, ValueError):
        return None


def _shown(signature: inspect.Signature) -> str:
    return ", ".join(
        str(one.replace(annotation=inspect.Parameter.empty)).replace(" = ", "=")
        for one in signature.parameters.values()
    )


def _said(error: Exception) -> str:
    lines = (str(error).strip() or "no message").splitlines()
    return f"{type(error).__name__}: {lines[0].rstrip('.')}"
