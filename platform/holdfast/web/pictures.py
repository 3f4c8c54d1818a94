"""Images of a store, for browsers."""

from __future__ import annotations

import threading
from pathlib import Path

from holdfast.annotation.browser_images import for_browsers
from holdfast.store.images import ImageStore


class Pictures:
    """Reads images for browsers; several threads may ask at once.

    Parameters
    ----------
    path : Path
        The table of images. It is opened on first use.
    """

    def __init__(self, path: Path) -> None:
        self._store = ImageStore(path)
        self._lock = threading.Lock()

    def read(self, uid: str) -> tuple[bytes, str]:
        """Return an image and its media type; as it came where browsers can show that.

        Raises
        ------
        LedgerError
            If the store has no such image.
        IngestError
            If it cannot be decoded.
        """
        # INVARIANT: one reader at a time: the store renews its list of uids in two steps.
        with self._lock:
            (payload,) = self._store.read([uid])
        return for_browsers(payload)
