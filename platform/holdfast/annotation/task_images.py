"""What browsers load for a task: a small copy inside it, or a file that Label Studio serves."""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from PIL import Image, ImageOps, UnidentifiedImageError

from holdfast.annotation.browser_images import for_browsers
from holdfast.annotation.label_studio_client import LabelStudioClient
from holdfast.errors import ConfigError, IngestError

# Longest side of a copy inside a task: 10,000 tasks stay near 150 MB.
THUMBNAIL = 256
# Below this an image travels without loss: every pixel counts.
TINY = 64
# Label Studio serves no files from its root itself, only from folders in it.
_SUBFOLDER = "holdfast-images"
_STORAGES = "/api/storages/localfiles"


def inline(images: Sequence[bytes]) -> list[str]:
    """Return small copies of image files as data URIs.

    An image that cannot be read gives an empty picture, so that its question can still be
    answered with "bad image".
    """
    return [_data_uri(data) for data in images]


class LocalFolder:
    """A folder from which Label Studio serves images.

    Parameters
    ----------
    folder : Path
        The document root of Label Studio's local files, or a folder in it, as this machine
        sees it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.expanduser().resolve()
        self._place = PurePosixPath(_SUBFOLDER)

    def open_to(self, client: LabelStudioClient, project: int) -> None:
        """Let people in a project see the images of this folder; safe to repeat.

        Raises
        ------
        ConfigError
            If the server does not serve local files, or not from this folder.
        TransientError
            If the server cannot be reached.
        """
        target = self._folder / _SUBFOLDER
        target.mkdir(parents=True, exist_ok=True)
        root = _document_root(client, project)
        # Where the root lies elsewhere on the server's machine, the folder is taken for it.
        if Path(root) in (self._folder, *self._folder.parents):
            self._place = PurePosixPath(self._folder.relative_to(root).as_posix()) / _SUBFOLDER
        path = str(PurePosixPath(root) / self._place)
        known = client.request("GET", _STORAGES, params={"project": project})
        if not any(one["path"] == path for one in known):
            client.write(
                "open-folder",
                "POST",
                _STORAGES,
                json={"project": project, "path": path, "title": "Holdfast"},
            )

    def put(self, uids: Sequence[str], images: Sequence[bytes]) -> list[str]:
        """Write images that are not there yet; return where browsers find them."""
        target = self._folder / _SUBFOLDER
        target.mkdir(parents=True, exist_ok=True)
        links = []
        for uid, data in zip(uids, images, strict=True):
            content, media_type = _shown(data)
            name = f"{uid}.{media_type.rpartition('/')[2]}"
            if not (target / name).exists():
                draft = target / f".{name}.{os.getpid()}.tmp"
                draft.write_bytes(content)
                draft.replace(target / name)
            links.append(f"/data/local-files/?d={quote(str(self._place / name))}")
        return links


def _document_root(client: LabelStudioClient, project: int) -> str:
    """Ask the server for its root: it names it when it refuses a folder outside of it."""
    try:
        client.request("POST", f"{_STORAGES}/validate", json={"project": project, "path": "/"})
    except ConfigError as error:
        found = re.search(r'LOCAL_FILES_DOCUMENT_ROOT=\\*"([^"\\]+)', str(error))
        if found:
            return found[1]
        raise
    return "/"


def _shown(data: bytes) -> tuple[bytes, str]:
    """Return an image file that browsers show, and its media type."""
    try:
        return for_browsers(data)
    except IngestError:
        return _empty(), "image/png"


def _data_uri(data: bytes) -> str:
    try:
        with Image.open(io.BytesIO(_shown(data)[0])) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        return f"data:image/png;base64,{base64.b64encode(_empty()).decode()}"
    kind = "png" if max(image.size) <= TINY else "jpeg"
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    image.save(buffer, kind.upper())
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _empty() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, "PNG")
    return buffer.getvalue()
