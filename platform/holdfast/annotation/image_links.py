"""Links to images that only this project can have made, and the key that proves it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import secrets
import tempfile
from pathlib import Path

from holdfast.errors import ConfigError

KEY_BYTES = 32


class ImageLinks:
    """Makes and checks the two kinds of links to an image.

    A task may wait for weeks, while a link that shows the image should be short-lived. So a
    task holds a link without an end that shows nothing: it is the right to ask for a signed
    link, which is granted as long as the question matters.

    Parameters
    ----------
    key : bytes
        Who has it can make links; see `load_key`.
    base_url : str
        How browsers reach `holdfast web`, as `http://127.0.0.1:8090`.

    Examples
    --------
    >>> links = ImageLinks(bytes(32), "http://127.0.0.1:8090")
    >>> links.signed_link("a1", 60)[:61]
    'http://127.0.0.1:8090/images/a1?expires=60&signature=wsahPbJp'
    """

    def __init__(self, key: bytes, base_url: str) -> None:
        self._key = key
        self._base_url = base_url.rstrip("/")

    def task_link(self, uid: str) -> str:
        """Return the link to keep in a task. It never expires."""
        return f"{self._base_url}/images/{uid}?task={self._sign('task', uid)}"

    def signed_link(self, uid: str, expires: int) -> str:
        """Return the link that shows an image until a moment, in seconds since 1970."""
        signature = self._sign("signed", uid, str(expires))
        return f"{self._base_url}/images/{uid}?expires={expires}&signature={signature}"

    def check_task(self, uid: str, signature: str) -> str | None:
        """Return why the link of a task is refused, None for a good one."""
        return None if _same(signature, self._sign("task", uid)) else "the link is forged"

    def check_signed(self, uid: str, expires: str, signature: str, now: float) -> str | None:
        """Return why a signed link is refused, None for a good one.

        Parameters
        ----------
        expires, signature : str
            As they stand in the link.
        now : float
            Seconds since 1970.
        """
        # INVARIANT: the signature comes first: what it does not cover is not even read.
        if not _same(signature, self._sign("signed", uid, expires)):
            return "the link is forged"
        if now >= int(expires):
            return "the link has expired; open the task again"
        return None

    def _sign(self, *parts: str) -> str:
        # A NUL is in no part, so no two lists of parts are the same text.
        digest = hmac.digest(self._key, "\0".join(parts).encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def load_key(path: Path) -> bytes:
    """Return the key in a file that only its owner may read, made on first use.

    Of several processes that make it at once, all return the same key.

    Raises
    ------
    ConfigError
        If the file holds something else.
    """
    if not path.exists():
        _make_key(path)
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise ConfigError(
            f"{path} should hold a key of {KEY_BYTES} bytes but holds {len(key)}; restore it from "
            "a backup, or remove it and send the open questions anew"
        )
    return key


def _make_key(path: Path) -> None:
    """Put a whole key in place, unless another process has done so."""
    # INVARIANT: a link never replaces a file, and what it points to is whole.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(name)
    finally:
        Path(name).unlink()


def _same(given: str, expected: str) -> bool:
    # compare_digest takes no text outside ASCII.
    return hmac.compare_digest(given.encode(), expected.encode())
