"""Files -> inspected contents, by threads or by processes of their own."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from multiprocessing.connection import Connection, Pipe
from threading import local
from typing import NamedTuple

from holdfast.data.appearance import appearances
from holdfast.data.integrity import (
    MAX_BYTES,
    Inspection,
    decoding_threads,
    inspect,
    num_threads,
    too_many_bytes,
)
from holdfast.errors import IngestError
from holdfast.store.locations import is_url, read_location

# Files per job: enough to outweigh the cost of a job, few enough that the jobs in
# flight fit in memory when they are photographs.
JOB = 32
# Starting processes takes a second; threads have looked at this many files by then.
MANY_FILES = 4096


# Both go through pipes by the thousand: a dataclass takes ten times as long to pickle.
class Asked(NamedTuple):
    """A file to look at: its name, and its bytes where they are in memory already."""

    name: str
    payload: bytes | None


class Looked(NamedTuple):
    """What a file holds.

    Attributes
    ----------
    uid : str
        sha256 of its bytes, hexadecimal.
    payload : bytes or None
        None where nobody wants them (in quarantine, or not kept), or who asked has them.
    appearance : bytes
        Of float16, see `data.appearance`; empty where it is not usable.
    """

    uid: str
    num_bytes: int
    payload: bytes | None
    found: Inspection
    appearance: bytes = b""


def look(asked: Asked, keep: bool = True, describe: bool = False) -> Looked:
    """Read, hash and decode one file.

    Parameters
    ----------
    keep, describe : bool
        Whether the bytes are wanted, and whether a thumbnail.

    Raises
    ------
    IngestError
        If it cannot be read.
    """
    try:
        payload = asked.payload
        if payload is None:
            if is_url(asked.name):
                payload = read_location(asked.name)
            else:
                # A Path, and a buffer of its own, cost as much as the reading of a small file.
                with open(asked.name, "rb", buffering=0) as file:  # noqa: PTH123
                    size = os.fstat(file.fileno()).st_size
                    if size > MAX_BYTES:
                        uid = hashlib.file_digest(file, "sha256").hexdigest()
                        return Looked(uid, size, None, too_many_bytes(size))
                    payload = file.read()
    except OSError as error:
        raise IngestError(
            f"{asked.name} cannot be read ({error.strerror or error}); check the file and its "
            "permissions, then ingest again"
        ) from error
    found = inspect(payload, asked.name, describe=describe)
    wanted = keep and asked.payload is None and found.reason is None
    uid = hashlib.sha256(payload).hexdigest()
    return Looked(uid, len(payload), payload if wanted else None, found)


def look_at_all(
    files: Iterable[Asked], *, keep: bool, describe: bool, many: bool
) -> Iterator[Looked]:
    """Look at files in parallel; in order, few in memory at a time.

    Parameters
    ----------
    keep, describe : bool
        Whether the bytes are wanted, and how the images look.
    many : bool
        Decode in processes of their own. Pillow holds Python's lock while it opens an
        image, so threads are no faster than one of them where images are small.

    Raises
    ------
    IngestError
        As `look`.
    """
    remaining = iter(files)
    jobs: deque[Future[list[Looked]]] = deque()
    with _Processes() if many else decoding_threads() as pool:
        work = pool.look if isinstance(pool, _Processes) else _look_at
        submit = pool.threads.submit if isinstance(pool, _Processes) else pool.submit
        try:
            while chunk := list(islice(remaining, JOB)):
                jobs.append(submit(work, chunk, keep, describe))
                if len(jobs) > 4 * num_threads():
                    yield from jobs.popleft().result()
            while jobs:
                yield from jobs.popleft().result()
        finally:
            for job in jobs:
                job.cancel()


def _look_at(chunk: Sequence[Asked], keep: bool, describe: bool) -> list[Looked]:
    found = [look(asked, keep, describe) for asked in chunk]
    if not describe:
        return found
    # All at once: one by one they would take as long as decoding a small image.
    numbers = appearances([one.found.thumbnail for one in found])
    return [
        one._replace(found=one.found._replace(thumbnail=b""), appearance=look_d.tobytes())
        if one.found.thumbnail
        else one
        for one, look_d in zip(found, numbers, strict=True)
    ]


class _Processes:
    """Processes that look at files, one behind each of some threads.

    They are started by their own command and not forked: a fork of a process with threads
    may hang, and multiprocessing's other ways run the caller's script again.
    """

    def __init__(self) -> None:
        self.threads = ThreadPoolExecutor(num_threads(), thread_name_prefix="decode")
        self._mine = local()
        self._started: list[tuple[subprocess.Popen[bytes], Connection]] = []

    def look(self, chunk: Sequence[Asked], keep: bool, describe: bool) -> list[Looked]:
        """Let the thread's process look."""
        if not hasattr(self._mine, "pipe"):
            self._mine.pipe = self._start()
        pipe: Connection = self._mine.pipe
        try:
            pipe.send((chunk, keep, describe))
            looked: list[Looked] | IngestError = pipe.recv()
        except (EOFError, OSError) as error:
            raise IngestError(
                f"a process that decodes images died between {chunk[0].name} and "
                f"{chunk[-1].name}; free some memory and ingest again"
            ) from error
        if isinstance(looked, IngestError):
            raise looked
        return looked

    def _start(self) -> Connection:
        mine, its = Pipe()
        # The way to Holdfast's code is not always that of a fresh interpreter.
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
            [sys.executable, "-c", f"from {__name__} import serve; serve({its.fileno()})"],
            pass_fds=[its.fileno()],
            env=environment,
            # Ctrl-C is for the process that was started by hand; it ends the others.
            process_group=0,
        )
        its.close()
        self._started.append((process, mine))
        return mine

    def __enter__(self) -> _Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self.threads.shutdown(cancel_futures=True)
        for process, pipe in self._started:
            pipe.close()
            process.wait()


def serve(descriptor: int) -> None:
    """Look at what comes through a pipe until nothing more does; this is all a process does."""
    pipe = Connection(descriptor)
    while True:
        try:
            asked = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(_look_at(*asked))
        except IngestError as error:
            pipe.send(error)
