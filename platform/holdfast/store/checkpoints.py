"""Learner states on disk: tensors as safetensors, the rest as JSON, no pickle.

A checkpoint is two files named by content, `<sha256>.safetensors` and `<sha256>.json`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as read_tensors
from safetensors.numpy import save as write_tensors

from holdfast.errors import CheckpointMismatchError, DiskFullError

Tensors = Mapping[str, NDArray[Any]]


def save(folder: Path, tensors: Tensors, header: Mapping[str, Any]) -> str:
    """Write one state and return its name; the same state always has the same name.

    Either both files are whole on disk when this returns, or the name is not in use:
    the tensors are put in place last.

    Parameters
    ----------
    folder : Path
        Made when missing.
    tensors : mapping of str to ndarray
        Numbers or bools of any shape, in any memory order.
    header : mapping
        Anything JSON can say.

    Returns
    -------
    str
        sha256, in hexadecimal, of the tensors file; the header's hash is inside it.

    Raises
    ------
    DiskFullError
        If there is no room for it.
    TypeError, ValueError
        If the header is not JSON, or a tensor is not numeric.
    """
    text = json.dumps(header, sort_keys=True, indent=1, allow_nan=False).encode()
    # Keys in order and one memory layout, or equal states would get different bytes.
    ordered = {key: np.ascontiguousarray(tensors[key]) for key in sorted(tensors)}
    for key, tensor in ordered.items():
        ordered[key] = tensor.reshape(np.shape(tensors[key]))  # ascontiguousarray lifts 0-d
    payload = write_tensors(ordered, metadata={"header_sha256": hashlib.sha256(text).hexdigest()})
    name = hashlib.sha256(payload).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / f"{name}.safetensors").exists() or not (folder / f"{name}.json").exists():
        write_whole(folder / f"{name}.json", text)
        write_whole(folder / f"{name}.safetensors", payload)
    return name


def load(folder: Path, sha256: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read one state, bit for bit as it was saved.

    Raises
    ------
    CheckpointMismatchError
        If a file is missing, or its bytes are not those that were saved.
    """
    path = folder / f"{sha256}.safetensors"
    payload = _read(path)
    found = hashlib.sha256(payload).hexdigest()
    if found != sha256:
        raise CheckpointMismatchError(path, "sha256", sha256, found)
    try:
        tensors = dict(read_tensors(payload))
    except SafetensorError as error:
        raise CheckpointMismatchError(path, "content", "safetensors", str(error)) from error
    expected = _metadata(payload).get("header_sha256", "absent")
    header_path = folder / f"{sha256}.json"
    text = _read(header_path)
    found = hashlib.sha256(text).hexdigest()
    if found != expected:
        raise CheckpointMismatchError(header_path, "sha256", expected, found)
    return tensors, json.loads(text)


def _metadata(payload: bytes) -> dict[str, str]:
    # The format opens with the length of its JSON index, 8 bytes, little-endian.
    length = int.from_bytes(payload[:8], "little")
    metadata: dict[str, str] = json.loads(payload[8 : 8 + length]).get("__metadata__", {})
    return metadata


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise CheckpointMismatchError(path, "file", "present", "missing") from error


def write_whole(path: Path, payload: bytes) -> None:
    """Put a file in place at once: a crash leaves the old bytes or the new, never half.

    Raises
    ------
    DiskFullError
        If there is no room; what was there before is whole.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".partial")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(payload)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(path) from error
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
