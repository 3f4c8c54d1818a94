"""A whole round through Label Studio: whatever dies or fails, each answer counts once."""

from __future__ import annotations

import csv
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from holdfast.annotation.label_studio_client import LabelStudioClient, connect
from holdfast.project import Project
from holdfast.records import BAD_IMAGE, NONE_OF_THESE
from holdfast.store import answers, labels, quarantine, questions, samples
from tests.faults.killing import end_of, play
from tests.label_studio.fake import FakeLabelStudio
from tests.label_studio.questions import choice, say

WRITES = ("create-project", "import")
SECOND_WRITES = ("show-guesses", "drop-guesses", "import-guesses", "ask-again")
PLACES = (
    *(f"label-studio:{name}{edge}" for name in WRITES for edge in ("", "-done")),
    *(f"send:{edge}" for edge in ("before", "delivered", "worked", "recording", "recorded")),
    *(
        f"collect:{edge}"
        for edge in ("before", "fetched", "waiting", "worked", "recording", "recorded")
    ),
    *(f"consensus:{edge}" for edge in ("before", "worked", "recording", "recorded")),
)
BESIDE_THE_SERVER = (*PLACES[: 2 * len(WRITES)], "send:delivered", "collect:fetched")
ASKING = """
[annotation]
oracle = "label-studio"
[annotation.label_studio]
url = "{url}"
token_file = "token"
images = "inline"
"""


@dataclass
class Person:
    """Somebody who knows the colors, and a project that asks in a Label Studio."""

    root: Path
    client: LabelStudioClient

    def run(self, failpoint: str | None = None) -> object:
        """Run in a process of its own; how it ended. Waiting for answers ends with 1."""
        return end_of(play, self.root, 1, failpoint=failpoint)

    @property
    def project(self) -> int:
        with Project.open(self.root) as project, project.ledger.read() as connection:
            return int(str(questions.remembered(connection, "label-studio")["project"]))

    def tasks(self) -> list[dict[str, Any]]:
        fields = {"project": self.project, "fields": "all", "page_size": 1000}
        return list(self.client.request("GET", "/api/tasks", params=fields)["tasks"])

    def true_colors(self) -> dict[str, str]:
        with (self.root / "truth.csv").open(newline="") as file:
            return {row["uid"]: row["label"] for row in csv.DictReader(file)}

    def answer(self, tasks: list[dict[str, Any]], label: str | None = None) -> list[int]:
        truth = self.true_colors()
        return [
            say(self.client, task["id"], label or truth[task["data"]["uid"]])["id"]
            for task in tasks
        ]

    def edit(self, annotation: int, label: str) -> None:
        said = {"result": [choice(label)]}
        self.client.request("PATCH", f"/api/annotations/{annotation}/", json=said)

    def digest(self) -> str:
        with Project.open(self.root) as project:
            return project.ledger.digest()

    def resolved(self, *, confirmed: bool = False) -> dict[str, str]:
        """Class name of each labeled sample by uid; of those people confirmed, if wished."""
        with Project.open(self.root) as project, project.ledger.read() as connection:
            table = labels.resolve(connection, labels.open_scope(connection))
            names = labels.class_names(connection)
            uids = samples.uids_of(connection, table.sample_ids_n)
        columns = zip(uids, table.class_ids_n.tolist(), table.verified_n.tolist(), strict=True)
        return {uid: names[k] for uid, k, verified in columns if verified or not confirmed}

    def confirmed(self) -> set[str]:
        return set(self.resolved(confirmed=True))

    def states(self, key: str) -> dict[str, str]:
        with Project.open(self.root) as project, project.ledger.read() as connection:
            found = questions.states_of(connection, key)
            uids = samples.uids_of(connection, np.array(list(found), np.int64))
        return dict(zip(uids, found.values(), strict=True))


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.service)])
def server(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "real":
        yield request.getfixturevalue("label_studio")
        return
    with FakeLabelStudio() as fake:
        yield fake


@pytest.fixture
def new_person(server: Any, tiny_project: Callable[[str], Path]) -> Callable[[str], Person]:
    def make(name: str = "project") -> Person:
        return asking(tiny_project(name), server)

    return make


def asking(root: Path, server: Any) -> Person:
    """Let a project that asks a simulation ask in a Label Studio from now on."""
    config = (root / "holdfast.toml").read_text()
    simulated = '\n[annotation]\noracle = "simulated"\ntruth = "truth.csv"\n'
    config = config.replace(simulated, ASKING.format(url=server.url))
    (root / "holdfast.toml").write_text(config)
    (root / "token").write_text(server.token)
    return Person(root, connect(server.url, server.token))


def finish(person: Person, failpoint: str | None = None) -> bool:
    """Live through a round, answering in two goes; whether the failpoint killed a process."""
    killed = False
    for step in range(3):
        ended = person.run(None if killed else failpoint)
        if ended == -signal.SIGKILL:
            killed = True
            ended = person.run()
        assert ended == (0 if step == 2 else 1)
        tasks = person.tasks()
        if step < 2:
            waiting = [task for task in tasks if not task["annotations"]]
            person.answer(waiting[:2] if step == 0 else waiting)
    return killed


@pytest.mark.slow
def test_round_waits_keeps_what_is_answered_and_learns_from_all(
    new_person: Callable[..., Person],
) -> None:
    person = new_person()
    assert person.run() == 1
    tasks = person.tasks()
    assert len(tasks) == 6
    assert all(task["data"]["image"].startswith("data:image/") for task in tasks)
    person.answer(tasks[:4])
    assert person.run() == 1
    with Project.open(person.root) as project, project.ledger.read() as connection:
        assert len(answers.current_answers(connection, 1)) == 4
    person.answer(tasks[4:])
    assert person.run() == 0
    truth, now = person.true_colors(), person.resolved()
    assert {uid: now[uid] for uid in (task["data"]["uid"] for task in tasks)} == {
        task["data"]["uid"]: truth[task["data"]["uid"]] for task in tasks
    }
    assert set(person.states("round-1").values()) == {"settled"}


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_round_killed_anywhere_ends_like_an_undisturbed_one(
    place: str, tiny_project: Callable[[], Path], undisturbed: str
) -> None:
    with FakeLabelStudio() as fake:
        person = asking(tiny_project(), fake)
        assert finish(person, place)
        assert_answered_once(person, undisturbed)


@pytest.mark.slow
@pytest.mark.service
@pytest.mark.parametrize("place", BESIDE_THE_SERVER)
def test_round_killed_beside_the_real_server_ends_like_an_undisturbed_one(
    place: str, tiny_project: Callable[[], Path], label_studio: Any, undisturbed: str
) -> None:
    person = asking(tiny_project(), label_studio)
    assert finish(person, place)
    assert_answered_once(person, undisturbed)


def assert_answered_once(person: Person, undisturbed: str) -> None:
    tasks = person.tasks()
    assert len({task["data"]["uid"] for task in tasks}) == len(tasks) == 6
    assert all(len(task["annotations"]) == 1 for task in tasks)
    assert person.digest() == undisturbed


@pytest.fixture(scope="module")
def undisturbed(ingested_project: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Digest of a round nothing disturbed; the same on every server."""
    root = tmp_path_factory.mktemp("undisturbed") / "project"
    shutil.copytree(ingested_project, root)
    with FakeLabelStudio() as fake:
        person = asking(root, fake)
        finish(person)
        return person.digest()


@pytest.fixture(scope="module")
def learned_project(ingested_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a champion, which will want second opinions."""
    root = tmp_path_factory.mktemp("learned") / "project"
    shutil.copytree(ingested_project, root)
    assert end_of(play, root, 1) == 0
    with (root / "holdfast.toml").open("a") as file:
        file.write("[agreement]\nmax_answers = 2\nconfidence = 0.999\nreserve_share = 0.5\n")
    return root


def finish_with_second_opinions(
    root: Path, fake: FakeLabelStudio, failpoint: str | None = None
) -> tuple[bool, str]:
    """Live through a round whose first answers are wrong; whether it was killed, its digest."""
    person, killed = asking(root, fake), False
    second = connect(fake.url, fake.add_user("second@example.com").token)
    truth = person.true_colors()
    for step in range(3):
        ended = person.run(None if killed else failpoint)
        if ended == -signal.SIGKILL:
            killed = True
            ended = person.run()
        assert ended == (0 if step == 2 else 1)
        if step == 0:
            for task in person.tasks():
                right = truth[task["data"]["uid"]]
                person.answer([task], next(c for c in ("red", "green") if c != right))
        elif step == 1:
            again = [task for task in person.tasks() if task["overlap"] == 2]
            assert again
            for task in again:
                assert len(task["predictions"]) == 1
                say(second, task["id"], truth[task["data"]["uid"]])
    uids = [task["data"]["uid"] for task in person.tasks()]
    assert len(set(uids)) == len(uids)
    assert {task["overlap"] for task in person.tasks()} <= {1, 2}
    return killed, person.digest()


@pytest.fixture(scope="module")
def undisturbed_second(learned_project: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("second") / "project"
    with FakeLabelStudio() as fake:
        return finish_with_second_opinions(Path(shutil.copytree(learned_project, root)), fake)[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "place",
    [f"label-studio:{name}{edge}" for name in SECOND_WRITES for edge in ("", "-done")],
)
def test_second_opinion_killed_anywhere_is_asked_for_once(
    place: str, learned_project: Path, undisturbed_second: str, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(learned_project, tmp_path / "project"))
    with FakeLabelStudio() as fake:
        killed, digest = finish_with_second_opinions(root, fake, place)
    assert killed
    assert digest == undisturbed_second


@pytest.mark.slow
def test_answers_edited_and_deleted_after_their_round_are_settled_anew(
    new_person: Callable[..., Person],
) -> None:
    person = new_person()
    person.run()
    tasks = person.tasks()
    made = person.answer(tasks)
    assert person.run() == 0
    truth, uids = person.true_colors(), [task["data"]["uid"] for task in tasks]
    other = next(color for color in ("red", "green") if color != truth[uids[0]])
    person.edit(made[0], other)
    person.client.request("DELETE", f"/api/annotations/{made[1]}/")
    assert uids[1] in person.confirmed()
    assert person.run() == 1
    asked = person.states("round-2")
    person.answer([task for task in person.tasks() if task["data"]["uid"] in asked])
    assert person.run() == 0
    assert person.resolved()[uids[0]] == other
    # Nobody stands for this label any more, unless it was asked about again since.
    assert (uids[1] in person.confirmed()) == (uids[1] in asked)


@pytest.mark.slow
def test_none_of_these_skip_and_bad_image_are_no_labels(new_person: Callable[..., Person]) -> None:
    person = new_person()
    person.run()
    tasks = person.tasks()
    uids = [task["data"]["uid"] for task in tasks]
    before = person.resolved()
    say(person.client, tasks[0]["id"], NONE_OF_THESE)
    say(person.client, tasks[1]["id"], None)
    (bad,) = person.answer([tasks[2]], BAD_IMAGE)
    person.answer(tasks[3:])
    assert person.run() == 0
    now = person.resolved()
    for uid in uids[:2]:
        assert now.get(uid) == before.get(uid)
    assert uids[2] not in now
    with Project.open(person.root) as project, project.ledger.read() as connection:
        assert samples.counts(connection)["quarantined"] == 1
    person.edit(bad, person.true_colors()[uids[2]])
    person.run()
    person.answer([task for task in person.tasks() if not task["annotations"]])
    assert person.run() == 0
    with Project.open(person.root) as project, project.ledger.read() as connection:
        assert samples.counts(connection)["quarantined"] == 0
    assert person.resolved()[uids[2]] == person.true_colors()[uids[2]]


@pytest.mark.slow
def test_deleted_project_is_made_anew_for_what_is_not_answered(
    new_person: Callable[..., Person],
) -> None:
    person = new_person()
    person.run()
    person.answer(person.tasks()[:2])
    assert person.run() == 1
    gone = person.project
    person.client.request("DELETE", f"/api/projects/{gone}/")
    assert person.run() == 1
    assert person.project != gone
    tasks = person.tasks()
    assert len(tasks) == 4
    person.answer(tasks)
    assert person.run() == 0


@pytest.mark.slow
def test_question_about_a_sample_in_quarantine_is_withdrawn_in_label_studio_too(
    new_person: Callable[..., Person],
) -> None:
    person = new_person()
    person.run()
    tasks = person.tasks()
    uid = tasks[0]["data"]["uid"]
    with Project.open(person.root) as project, project.ledger.write() as connection:
        (sample_id,) = samples.ids_of(connection, [uid]).values()
        quarantine.set_aside(connection, {sample_id: "not ours"}, "test")
    assert person.run() == 1
    assert uid not in {task["data"]["uid"] for task in person.tasks()}
    assert person.states("round-1")[uid] == "withdrawn"
    person.answer(person.tasks())
    assert person.run() == 0
