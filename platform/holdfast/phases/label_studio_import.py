"""A Label Studio project that exists -> samples, labels and answers, a chunk at a time."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from threading import Lock

from holdfast.annotation.label_studio_projects import (
    ANSWER,
    ForeignProject,
    ForeignTask,
    open_project,
    read_tasks,
)
from holdfast.annotation.task_downloads import TaskDownloads
from holdfast.data import people
from holdfast.data.ingest import take_in
from holdfast.data.offers import OfferedImage, Source
from holdfast.data.report import IngestReport, SetAside
from holdfast.errors import IngestError
from holdfast.phases.label_studio import open_client
from holdfast.project import Project
from holdfast.store import imported, unasked

# Tasks recorded in one transaction: what an interruption costs at most. A commit costs half a
# second, mostly the image table's.
CHUNK = 2000
# Images inside tasks are held with their chunk.
CHUNK_BYTES = 64 * 2**20
# Images fetched at once, and at most in memory before they are looked at.
THREADS = 8
AHEAD = 32
_UID = re.compile("[0-9a-f]{64}")

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportReport:
    """What became of the tasks of a project.

    Attributes
    ----------
    project : str
        Where a person opens it.
    num_tasks : int
        Tasks looked at = added + known + duplicates + quarantined + unfetched + passed over.
    num_added, num_known : int
        New samples, and tasks whose image the ledger had already.
    num_duplicates : int
        Tasks with the image of another one.
    num_unlabeled : int
        Tasks with an image and no label: they wait in the pool.
    num_labeled : int
        Labels added; each person's about an image is one.
    num_answers, num_withdrawn : int
        Answers added, edits included, and answers that are no longer there.
    num_holdout : int
        Samples that went into the holdout.
    num_replaced : int
        Answers that the same person replaced by a later one.
    num_drafts, num_predictions : int
        Tasks with an answer that was not sent off; guesses of models. Neither is a label.
    classes_added : tuple of str
    quarantined : tuple of SetAside
        Tasks whose image cannot be used; a row each in the ledger.
    unfetched : tuple of SetAside
        Tasks whose image could not be had. The next import tries again.
    passed_over : tuple of SetAside
        Tasks without an image, and those that ask for Holdfast.
    answers_set_aside : tuple of SetAside
        Answers that name no class. Their images were taken in.
    """

    project: str
    num_tasks: int
    num_added: int
    num_known: int
    num_duplicates: int
    num_unlabeled: int
    num_labeled: int
    num_answers: int
    num_withdrawn: int
    num_holdout: int
    num_replaced: int
    num_drafts: int
    num_predictions: int
    classes_added: tuple[str, ...]
    quarantined: tuple[SetAside, ...]
    unfetched: tuple[SetAside, ...]
    passed_over: tuple[SetAside, ...]
    answers_set_aside: tuple[SetAside, ...]


def import_project(
    target: Project, number: int, *, progress: Progress | None = None
) -> ImportReport:
    """Take in a project that people already have in Label Studio.

    Each person's last answer about a task becomes an answer here and a label in their name; its
    time stands in the label's source key. Importing again adds what is new since, and goes on
    where an import was interrupted, without fetching an image twice. An answer that was deleted
    there, or no longer names a class, is withdrawn; a task that was deleted changes nothing.

    Parameters
    ----------
    number : int
        The project's id there.
    progress : callable, optional
        Told (what, done, total).

    Raises
    ------
    ConfigError
        If there is no such project, nothing in it asks for one class an image, or the server
        refuses the token.
    IngestError
        If nothing of it can be used, or it has only one class.
    TransientError
        If the server does not answer. What was taken in so far stays.
    """
    with open_client(target) as client, TaskDownloads(client) as downloads:
        foreign = open_project(client, number)
        run = _Import(target, foreign, downloads, progress)
        for chunk in _chunks(read_tasks(client, foreign)):
            run.take(chunk)
        return run.report()


@dataclass(slots=True)
class _Tally:
    """What was counted so far."""

    counts: Counter[str] = field(default_factory=Counter)
    classes: list[str] = field(default_factory=list)
    quarantined: list[SetAside] = field(default_factory=list)
    unfetched: list[SetAside] = field(default_factory=list)
    passed_over: list[SetAside] = field(default_factory=list)
    answers: list[SetAside] = field(default_factory=list)


class _Import:
    """One run over the tasks of a project."""

    def __init__(
        self,
        target: Project,
        foreign: ForeignProject,
        downloads: TaskDownloads,
        progress: Progress | None,
    ) -> None:
        self._target = target
        self._foreign = foreign
        self._downloads = downloads
        self._progress = progress
        self._store = Lock()
        self._tally = _Tally()
        # Names of this chunk's tasks that came without a label.
        self._unlabeled: set[str] = set()
        with target.ledger.read() as connection:
            self._known = imported.sources_below(connection, foreign.prefix)
            held = unasked.held_below(connection, foreign.prefix)
        # What each task's people said, as far as it is on record: answers and their edits.
        self._said: dict[str, dict[str, str]] = {}
        for answer_id, updated_at in held.items():
            self._said.setdefault(answer_id.rpartition(ANSWER)[0], {})[answer_id] = updated_at

    def take(self, tasks: Sequence[ForeignTask]) -> None:
        """Take in some tasks, in one transaction."""
        self._unlabeled.clear()
        wanted = self._select(tasks)
        self._take_back(wanted)
        if not wanted:
            return
        source = Source(
            name=self._foreign.name,
            num_images=len(wanted),
            labels=self._foreign.classes,
            images=lambda: self._offer(wanted),
        )
        done = take_in(self._target, source)
        self._add(done)
        unusable = {one.name for one in done.quarantined}
        self._tally.counts["unlabeled"] += len(self._unlabeled - unusable)

    def report(self) -> ImportReport:
        """Return what became of all tasks; IngestError if nothing of them can be used."""
        tally, counts = self._tally, self._tally.counts
        if not counts["added"] + counts["known"]:
            self._refuse()
        return ImportReport(
            project=self._foreign.name,
            num_tasks=counts["tasks"],
            num_added=counts["added"],
            num_known=counts["known"],
            num_duplicates=counts["duplicates"],
            num_unlabeled=counts["unlabeled"],
            num_labeled=counts["labeled"],
            num_answers=counts["answers"],
            num_withdrawn=counts["withdrawn"],
            num_holdout=counts["holdout"],
            num_replaced=counts["replaced"],
            num_drafts=counts["drafts"],
            num_predictions=counts["predictions"],
            classes_added=tuple(tally.classes),
            quarantined=tuple(tally.quarantined),
            unfetched=tuple(tally.unfetched),
            passed_over=tuple(tally.passed_over),
            answers_set_aside=tuple(tally.answers),
        )

    def _refuse(self) -> None:
        tally = self._tally
        if not tally.counts["tasks"]:
            raise IngestError(f"{self._foreign.name} has no tasks; import images there first")
        first = (*tally.passed_over, *tally.unfetched, *tally.quarantined)[0]
        raise IngestError(
            f"{self._foreign.name} holds no usable image (of {tally.counts['tasks']} tasks; "
            f"{first.name}: {first.reason})"
        )

    def _select(self, tasks: Sequence[ForeignTask]) -> list[ForeignTask]:
        """Count some tasks, and return those of which the ledger lacks something."""
        uids = sorted({one.uid for one in tasks if one.uid and _UID.fullmatch(one.uid)})
        with self._target.ledger.read() as connection:
            asked = imported.asked_uids(connection, uids)
        wanted, tally = [], self._tally
        for task in tasks:
            tally.counts["tasks"] += 1
            if task.uid in asked:
                why = "Holdfast asks here; its answers come by `holdfast run`"
                tally.passed_over.append(SetAside(task.name, why))
                continue
            if task.problem:
                tally.passed_over.append(SetAside(task.name, task.problem))
                continue
            tally.counts["replaced"] += task.num_replaced
            tally.counts["drafts"] += task.has_draft
            tally.counts["predictions"] += task.num_predictions
            tally.answers += [SetAside(task.name, why) for why in task.set_aside]
            if self._is_done(task):
                tally.counts["known"] += 1
                tally.counts["unlabeled"] += not task.statements
            else:
                wanted.append(task)
        self._show(len(tasks) - len(wanted))
        return wanted

    def _is_done(self, task: ForeignTask) -> bool:
        said = {one.answer_id: one.updated_at for one in task.statements}
        if said or task.name in self._said:
            return said == self._said.get(task.name)
        return task.name in self._known

    def _take_back(self, tasks: Sequence[ForeignTask]) -> None:
        """Withdraw the answers to some tasks that are on record and no longer there."""
        there = {one.answer_id for task in tasks for one in task.statements}
        gone = [one for task in tasks for one in self._said.get(task.name, ()) if one not in there]
        if gone:
            with self._target.ledger.write() as connection:
                self._tally.counts["withdrawn"] += people.take_back(connection, gone)

    def _offer(self, tasks: Sequence[ForeignTask]) -> Iterator[OfferedImage]:
        """Fetch images in threads; give those that came, in order, few of them at a time."""
        waiting: deque[tuple[ForeignTask, Future[bytes]]] = deque()
        ahead = iter(tasks)
        pool = ThreadPoolExecutor(THREADS, thread_name_prefix="fetch")
        try:
            for task in islice(ahead, AHEAD):
                waiting.append((task, pool.submit(self._fetch, task)))
            while waiting:
                task, image = waiting.popleft()
                offered = self._offered(task, image)
                self._show(1)
                if offered is not None:
                    yield offered
                for later in islice(ahead, 1):
                    waiting.append((later, pool.submit(self._fetch, later)))
        finally:
            pool.shutdown(cancel_futures=True)

    def _offered(self, task: ForeignTask, image: Future[bytes]) -> OfferedImage | None:
        try:
            payload = image.result()
        except IngestError as error:
            self._tally.unfetched.append(SetAside(task.name, str(error)))
            return None
        if not task.statements:
            self._unlabeled.add(task.name)
        return OfferedImage(name=task.name, payload=payload, statements=task.statements)

    def _fetch(self, task: ForeignTask) -> bytes:
        uid = self._known.get(task.name)
        if uid is not None:
            # What is new is an answer. One reader of the table at a time.
            with self._store:
                return self._target.images.read([uid])[0]
        return self._downloads.fetch(task.id, task.address)

    def _add(self, done: IngestReport) -> None:
        counts, tally = self._tally.counts, self._tally
        counts["added"] += done.num_added
        counts["known"] += done.num_known
        counts["duplicates"] += done.num_duplicates
        counts["labeled"] += done.num_labeled
        counts["answers"] += done.num_answers
        counts["holdout"] += done.num_holdout
        tally.classes += done.classes_added
        tally.quarantined += done.quarantined

    def _show(self, num_done: int) -> None:
        self._tally.counts["done"] += num_done
        if self._progress is not None:
            total = max(self._foreign.num_tasks, self._tally.counts["done"])
            self._progress("import", self._tally.counts["done"], total)


def _chunks(tasks: Iterator[ForeignTask]) -> Iterator[list[ForeignTask]]:
    """Cut tasks into parts of at most CHUNK tasks and about CHUNK_BYTES bytes."""
    chunk: list[ForeignTask] = []
    size = 0
    for task in tasks:
        chunk.append(task)
        size += len(task.address)
        if len(chunk) == CHUNK or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
