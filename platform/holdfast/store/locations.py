"""Files where they lie: on this machine, or behind any URL that fsspec opens."""

from __future__ import annotations

import atexit
import hashlib
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast.errors import IngestError, LedgerError, MissingExtraError, TransientError

# fsspec is imported when the first URL is met.
if TYPE_CHECKING:
    from fsspec import AbstractFileSystem  # type: ignore[import-untyped]  # ships no types

_URL = re.compile("[a-z][a-z0-9+.-]+(://|::)")
# What the libraries behind the common URLs are called here.
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "http": "http", "https": "http"}


def is_url(location: str) -> bool:
    """Whether it is a URL, as `s3://bucket/cats`; else it is a path on this machine."""
    return _URL.match(location) is not None


def open_filesystem(url: str) -> tuple[AbstractFileSystem, str]:
    """Return what reads the URL, and the path it knows it by.

    Raises
    ------
    IngestError
        If no URLs of this kind are known.
    MissingExtraError
        If the library for them is not installed.
    """
    import fsspec

    protocol = re.split("://|::", url, maxsplit=1)[0]
    try:
        filesystem, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        if protocol not in _EXTRAS:
            raise IngestError(
                f"{url} needs a library that is not installed ({error}); install it"
            ) from error
        raise MissingExtraError(f"the library for {protocol}://", _EXTRAS[protocol]) from error
    except ValueError as error:
        raise IngestError(
            f"{url} cannot be opened ({error}); give a path, or a URL such as s3://, gs://, "
            "http:// or file://"
        ) from error
    return filesystem, path


def list_files(url: str) -> list[tuple[str, str]]:
    """Return URL and path from `url` on of all files below it, sorted; (url, "") for a file.

    Raises
    ------
    IngestError
        If there is nothing there.
    TransientError
        If it does not answer for the moment.
    """
    filesystem, path = open_filesystem(url)
    try:
        found = [path] if filesystem.isfile(path) else filesystem.find(path)
    except OSError as error:
        raise TransientError(f"{url} cannot be listed ({error}); try again") from error
    if not found:
        raise IngestError(f"{url} does not exist or is empty; check the URL")
    if found == [path]:
        return [(url, "")]
    # What a file system calls its files may differ from what it was asked for.
    start = filesystem._strip_protocol(path).rstrip("/")
    return sorted(
        (filesystem.unstrip_protocol(file), file.removeprefix(start).strip("/")) for file in found
    )


def local_copy(url: str) -> Path:
    """Return a copy of a remote file on this machine, with its name; gone when we exit.

    Raises
    ------
    TransientError
        If it cannot be fetched for the moment.
    """
    folder = tempfile.mkdtemp(prefix="holdfast-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    filesystem, path = open_filesystem(url)
    target = Path(folder) / path.rpartition("/")[2]
    try:
        filesystem.get_file(path, str(target))
    except OSError as error:
        raise TransientError(f"{url} cannot be fetched ({error}); try again") from error
    return target


def read_location(location: str) -> bytes:
    """Return the bytes of a file.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    if not is_url(location):
        return Path(location).read_bytes()
    filesystem, path = open_filesystem(location)
    content: Any = filesystem.cat_file(path)
    return bytes(content)


def read_unchanged(location: str, uid: str) -> bytes:
    """Return the bytes of a file, which must be those it had when it was ingested.

    Parameters
    ----------
    uid : str
        sha256 of the bytes, hexadecimal.

    Raises
    ------
    LedgerError
        If the file is gone, or holds other bytes now.
    TransientError
        If a URL does not answer for the moment.
    """
    try:
        content = read_location(location)
    except FileNotFoundError as error:
        raise LedgerError(
            f"{location} was ingested by reference and is gone; put it back, or ingest a copy "
            "of the same file"
        ) from error
    except OSError as error:
        if is_url(location):
            raise TransientError(f"{location} does not answer ({error}); try again") from error
        raise LedgerError(
            f"{location} was ingested by reference and cannot be read ({error.strerror}); "
            "check its permissions"
        ) from error
    if hashlib.sha256(content).hexdigest() != uid:
        raise LedgerError(
            f"{location} was ingested by reference and has changed since; put the earlier file "
            "back, or ingest a copy of it"
        )
    return content
