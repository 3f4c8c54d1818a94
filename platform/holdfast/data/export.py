"""A dataset version -> a folder of files, whole or not at all, the same bytes every time."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, get_args

from holdfast.data.export_files import FolderExport, WebDatasetExport
from holdfast.data.export_parquet import HuggingFaceExport, ParquetExport
from holdfast.data.export_rows import ExportedSample, num_bytes, pages
from holdfast.errors import ExportError, LedgerError
from holdfast.failpoints import reach
from holdfast.processes import is_gone, this_process
from holdfast.store import held_labels, labels, synthetic
from holdfast.store.images import ImageStore
from holdfast.store.label_digest import EMPTY, moved
from holdfast.store.ledger import Ledger
from holdfast.store.models import StoredVersion
from holdfast.store.samples import Split

FORMATS = ("parquet", "folder", "webdataset", "huggingface")
_PARTIAL = ".partial"


class Export(Protocol):
    """One way of writing samples into a folder."""

    def write(self, rows: Sequence[ExportedSample]) -> None:
        """Add samples of one split; each split comes at one stretch."""
        ...

    def close(self) -> None:
        """Finish all files."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """What an export wrote."""

    folder: Path
    num_samples: int
    num_holdout: int
    num_bytes: int


def export(
    ledger: Ledger,
    images: ImageStore,
    stored: StoredVersion,
    target: Path,
    format_name: str,
    progress: Callable[[str, int, int], None] | None = None,
) -> Exported:
    """Write a version into a folder that does not exist yet, or is empty.

    The same version in the same format is the same bytes, file by file. Everything is
    written beside the target and put in place at once: a crash or a full disk leaves no
    target. Memory does not grow with the samples.

    Parameters
    ----------
    format_name : str
        One of `FORMATS`.

    Raises
    ------
    ExportError
        If the target holds something, or there is no room for it.
    LedgerError
        If what was written is not what the version's digest says.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ExportError(f"{target} exists; name a folder that does not, or an empty one")
    if not target.absolute().parent.is_dir():
        raise ExportError(f"{target.absolute().parent} is not a folder; make it first")
    version = stored.version
    with ledger.read() as connection:
        moment = held_labels.at(connection, version.moment or 0)
        size = num_bytes(connection, moment.id)
        # Classes met later are left out, or the same version would not give the same bytes.
        names = labels.class_names(connection)[: max(moment.counts, default=-1) + 1]
    free = shutil.disk_usage(target.absolute().parent).free
    if size > free:
        raise ExportError(
            f"{target} needs {size / 2**20:,.0f} MiB but only {free / 2**20:,.0f} MiB are free; "
            "free some space, or name a folder on another disk"
        )
    counts: dict[str, int] = {"train": 0, "holdout": 0}
    digest = EMPTY
    with _put_in_place(target) as folder:
        writer = _writer(format_name, folder, names)
        splits: tuple[Split, ...] = get_args(Split)
        for split in splits:
            for rows in pages(ledger, images, version, split, names):
                writer.write(rows)
                digest = moved(digest, ((row.uid, row.label) for row in rows), ())
                counts[split] += len(rows)
                if progress is not None:
                    progress("exporting", sum(counts.values()), version.num_labels)
        writer.close()
        if digest != version.digest:
            raise LedgerError(
                f"version {stored.id} should have the digest {version.digest[:12]} but its "
                f"samples have {digest[:12]}; restore the ledger from a backup"
            )
        with ledger.read() as connection:
            left_out = len(synthetic.of_version(connection, stored.id))
        about = _about(stored, moment, names, counts) | {"synthetic_left_out": left_out}
        (folder / "version.json").write_text(json.dumps(about, indent=2, ensure_ascii=False))
        reach("export:written")
    return Exported(
        folder=target,
        num_samples=sum(counts.values()),
        num_holdout=counts["holdout"],
        num_bytes=size,
    )


def _writer(format_name: str, folder: Path, names: Sequence[str]) -> Export:
    if format_name == "folder":
        return FolderExport(folder)
    if format_name == "webdataset":
        return WebDatasetExport(folder)
    if format_name == "huggingface":
        return HuggingFaceExport(folder, names)
    if format_name == "parquet":
        return ParquetExport(folder)
    raise ValueError(f"format should be one of {', '.join(FORMATS)}, not {format_name!r}")


@contextmanager
def _put_in_place(target: Path) -> Iterator[Path]:
    """Give a folder that becomes the target when all went well, and is gone otherwise."""
    whole = target.absolute()
    for left in whole.parent.glob(f".{whole.name}.*{_PARTIAL}"):
        owner = left.name.removeprefix(f".{whole.name}.").removesuffix(_PARTIAL)
        if owner.count("@") == 2 and is_gone(owner.replace("@", "/")):
            shutil.rmtree(left)
    name = this_process().replace("/", "@")
    folder = whole.parent / f".{whole.name}.{name}{_PARTIAL}"
    try:
        folder.mkdir()
        yield folder
        folder.rename(whole)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ExportError(
                f"no space left to write {target}; nothing was left there. Free some space, "
                "or name a folder on another disk"
            ) from error
        raise ExportError(
            f"{target} cannot be written ({error.strerror or error}); name another folder"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _about(
    stored: StoredVersion,
    moment: held_labels.Moment,
    names: Sequence[str],
    counts: dict[str, int],
) -> dict[str, object]:
    version = stored.version
    return {
        "version": stored.id,
        "tier": version.tier,
        "round": version.round_number,
        "digest": version.digest,
        "watermark": version.watermark,
        "excluded": [list(pair) for pair in version.excluded],
        "recipe": dict(version.recipe),
        "classes": {names[class_id]: number for class_id, number in moment.counts.items()},
        "splits": counts,
    }
