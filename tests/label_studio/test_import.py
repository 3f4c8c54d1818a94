"""A project that people already have in a real Label Studio is taken in: all of it, once."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import sqlalchemy as sa

from deployments.label_studio.accounts import Account
from deployments.label_studio.server import LabelStudioServer
from holdfast.__main__ import main
from holdfast.annotation import task_downloads
from holdfast.annotation.label_studio_client import LabelStudioClient, connect
from holdfast.data.ingest import ingest_images
from holdfast.errors import ConfigError, IngestError, TransientError
from holdfast.failpoints import VARIABLE
from holdfast.phases import label_studio_import
from holdfast.phases.label_studio_import import ImportReport, import_project
from holdfast.project import Project
from holdfast.store import labels
from holdfast.store.schema import label_event, sample
from tests.asked_project import ask
from tests.image_server import ImageServer, png
from tests.label_studio.proxy import FaultProxy, answer, lose_response

pytestmark = [pytest.mark.service, pytest.mark.slow]

INTERFACE = """
<View><Image name="pic" value="$photo"/>
<Choices name="species" toName="pic" choice="single-radio">
<Choice value="cat"/><Choice value="dog" alias="hound"/><Choice value="bird"/></Choices></View>
"""
CONFIG = """
[annotation.label_studio]
url = "{url}"
token_file = "token"
"""
IMPORT = """
import sys
from pathlib import Path
from holdfast.phases import label_studio_import
from holdfast.project import Project
label_studio_import.CHUNK = 4
with Project.open(Path(sys.argv[1])) as project:
    label_studio_import.import_project(project, int(sys.argv[2]))
"""
ANN = "holdfast@localhost.localdomain"


class Theirs:
    """A project of somebody's in Label Studio."""

    def __init__(self, client: LabelStudioClient, interface: str = INTERFACE) -> None:
        self.client = client
        body = {"title": "theirs", "label_config": interface}
        self.id = int(client.request("POST", "/api/projects", json=body)["id"])

    def add(self, *tasks: dict[str, Any]) -> list[int]:
        path = f"/api/projects/{self.id}/import"
        made = self.client.request("POST", path, params={"return_task_ids": "true"}, json=tasks)
        return [int(one) for one in made["task_ids"]]

    def say(self, task: int, *names: str, client: LabelStudioClient | None = None) -> int:
        path = f"/api/tasks/{task}/annotations/"
        body = {"result": result(*names)}
        return int((client or self.client).request("POST", path, json=body)["id"])


def result(*names: str) -> list[dict[str, Any]]:
    value = {"choices": list(names)}
    return [{"from_name": "species", "to_name": "pic", "type": "choices", "value": value}]


def inline(seed: int) -> str:
    return f"data:image/png;base64,{base64.b64encode(png(seed)).decode()}"


def photo(address: object, *names: str) -> dict[str, Any]:
    annotations = [{"result": result(name)} for name in names]
    return {"data": {"photo": address}, "annotations": annotations}


@pytest.fixture
def client(label_studio: LabelStudioServer) -> Iterator[LabelStudioClient]:
    with connect(label_studio.url, label_studio.token) as opened:
        yield opened


@pytest.fixture
def theirs(client: LabelStudioClient) -> Theirs:
    return Theirs(client)


@pytest.fixture
def web() -> Iterator[ImageServer]:
    with ImageServer() as server:
        yield server


@pytest.fixture
def new_project(label_studio: LabelStudioServer, tmp_path: Path) -> Callable[..., Path]:
    def make(name: str = "ours", url: str = label_studio.url) -> Path:
        root = tmp_path / name
        root.mkdir()
        (root / "holdfast.toml").write_text(CONFIG.format(url=url))
        (root / "token").write_text(label_studio.token)
        return root

    return make


@pytest.fixture
def ours(new_project: Callable[..., Path]) -> Iterator[Project]:
    with Project.open(new_project()) as opened:
        yield opened


def current(project: Project) -> dict[str, str]:
    """Return the label that holds, by the number of the task it came from."""
    with project.ledger.read() as connection:
        names = labels.class_names(connection)
        table = labels.resolve(connection, labels.open_scope(connection))
        rows = connection.execute(sa.select(sample.c.id, sample.c.source)).all()
    tasks = {number: source.partition("?task=")[2].partition("&")[0] for number, source in rows}
    ids = np.asarray(table.sample_ids_n).tolist()
    return {
        tasks[one]: names[label]
        for one, label in zip(ids, np.asarray(table.class_ids_n).tolist(), strict=True)
    }


def events(project: Project) -> list[tuple[str, str]]:
    with project.ledger.read() as connection:
        rows = connection.execute(
            sa.select(label_event.c.annotator, label_event.c.source_key).order_by(label_event.c.id)
        )
        return [(annotator, key) for annotator, key in rows]


def is_whole(report: ImportReport) -> bool:
    """Say whether every task is accounted for."""
    return report.num_tasks == (
        report.num_added
        + report.num_known
        + report.num_duplicates
        + len(report.quarantined)
        + len(report.unfetched)
        + len(report.passed_over)
    )


def upload(label_studio: LabelStudioServer, project: int, seed: int) -> None:
    """Upload an image as the browser does."""
    httpx.post(
        f"{label_studio.url}/api/projects/{project}/import",
        headers={"Authorization": f"Token {label_studio.token}"},
        files={"file": (f"photo {seed}.png", png(seed), "image/png")},
        timeout=60.0,
    ).raise_for_status()


def put_into_folder(label_studio: LabelStudioServer, theirs: Theirs, seed: int) -> str:
    """Connect a folder to the project; the address of an image in it."""
    folder = label_studio.log.parent / "files" / f"import-{theirs.id}"
    folder.mkdir(parents=True)
    (folder / "a b.png").write_bytes(png(seed))
    storage = {"project": theirs.id, "path": str(folder), "use_blob_urls": True}
    theirs.client.request("POST", "/api/storages/localfiles", json=storage)
    return f"/data/local-files/?d=import-{theirs.id}/a%20b.png"


def test_images_are_taken_from_wherever_label_studio_shows_them(label_studio, theirs, web, ours):
    upload(label_studio, theirs.id, 1)
    theirs.add(
        photo(put_into_folder(label_studio, theirs, 2), "cat"),
        photo(inline(3), "hound"),
        photo(web.show("/4.png", png(4)), "bird"),
    )
    seen: list[tuple[str, int, int]] = []
    report = import_project(ours, theirs.id, progress=lambda *said: seen.append(said))
    assert (report.num_added, report.num_labeled, report.num_unlabeled) == (4, 3, 1)
    assert report.classes_added == ("cat", "hound", "bird")
    assert is_whole(report)
    assert seen[-1] == ("import", 4, 4)
    assert sorted(current(ours).values()) == ["bird", "cat", "hound"]
    with ours.ledger.read() as connection:
        uids = list(connection.execute(sa.select(sample.c.uid)).scalars())
    assert sorted(ours.images.read(uids)) == sorted(png(seed) for seed in (1, 2, 3, 4))
    assert {token for _, token in web.asked} == {""}


def test_every_persons_label_is_kept_and_the_majority_holds(
    label_studio: LabelStudioServer,
    new_annotator: Callable[[], Account],
    theirs: Theirs,
    ours: Project,
) -> None:
    task, other = theirs.add(photo(inline(1)), photo(inline(2), "bird"))
    people = [new_annotator(), new_annotator()]
    theirs.say(task, "hound")
    for person in people:
        with connect(label_studio.url, person.token) as theirs_client:
            theirs.say(task, "cat", client=theirs_client)
    report = import_project(ours, theirs.id)
    assert report.num_labeled == 4
    assert current(ours) == {str(task): "cat", str(other): "bird"}
    assert Counter(who for who, _ in events(ours)) == {
        ANN: 2,
        people[0].email: 1,
        people[1].email: 1,
    }
    # The time of an answer stands in the key of its label.
    listed = theirs.client.request("GET", f"/api/tasks/{task}/annotations/")
    times = {one["updated_at"] for one in listed}
    assert all(any(time in key for _, key in events(ours)) for time in times)


def test_what_cannot_be_used_is_reported_with_the_reason(theirs: Theirs, ours: Project) -> None:
    tasks = theirs.add(
        photo(inline(0), "cat"),
        photo(inline(1), "hound"),
        {**photo(inline(2)), "annotations": [{"result": [], "was_cancelled": True}]},
        {**photo(inline(3)), "annotations": [{"result": []}]},
        {**photo(inline(4)), "annotations": [{"result": result("cat", "bird")}]},
        {**photo(inline(5), "cat", "hound")},
        {**photo(inline(6)), "predictions": [{"result": result("cat"), "score": 0.5}]},
        photo(inline(7)),
        photo(inline(0), "cat"),
        photo("", "cat"),
        photo("data:image/png;base64,AAAA", "cat"),
        photo("/data/upload/0/gone.png", "cat"),
        photo("s3://nowhere/a.png", "cat"),
    )
    draft = {"result": result("cat"), "lead_time": 1.0}
    theirs.client.request("POST", f"/api/tasks/{tasks[7]}/drafts", json=draft)
    report = import_project(ours, theirs.id)
    assert is_whole(report)
    assert (report.num_tasks, report.num_added, report.num_duplicates) == (13, 8, 1)
    assert (report.num_replaced, report.num_drafts, report.num_predictions) == (1, 1, 1)
    assert report.num_unlabeled == 5
    reasons = [
        *(("not an image", one) for one in report.quarantined),
        *(
            ("answered 500" if "=" + str(tasks[11]) in one.name else "answered 404", one)
            for one in report.unfetched
        ),
        *(("has no image", one) for one in report.passed_over),
        *zip(("skipped", "nothing was chosen", "bird, cat"), report.answers_set_aside, strict=True),
    ]
    assert len(reasons) == 1 + 2 + 1 + 3
    for reason, one in reasons:
        assert reason in one.reason
        assert one.name.startswith(f"{theirs.client.url}/projects/{theirs.id}/data?task=")
    assert set(current(ours).values()) == {"cat", "hound"}


def test_second_import_fetches_nothing_and_changes_nothing(
    fault_proxy: FaultProxy,
    label_studio: LabelStudioServer,
    theirs: Theirs,
    web: ImageServer,
    new_project: Callable[..., Path],
) -> None:
    upload(label_studio, theirs.id, 1)
    theirs.add(
        photo(web.show("/2.png", png(2)), "cat"),
        photo(web.show("/3.png", png(2)), "hound"),
        photo(web.show("/4.png", png(4))),
    )
    with Project.open(new_project(url=fault_proxy.url)) as ours:
        first = import_project(ours, theirs.id)
        digest, asked = ours.ledger.digest(), len(web.asked)
        assert fault_proxy.count("GET", "/data/upload/") == 1
        second = import_project(ours, theirs.id)
        assert ours.ledger.digest() == digest
    assert (first.num_added, first.num_duplicates) == (3, 1)
    assert (second.num_known, second.num_added, second.num_labeled) == (4, 0, 0)
    assert is_whole(second)
    assert (len(web.asked), fault_proxy.count("GET", "/data/upload/")) == (asked, 1)


def test_answers_given_and_changed_since_are_added(
    theirs: Theirs, web: ImageServer, ours: Project
) -> None:
    first, second, _ = theirs.add(
        photo(web.show("/1.png", png(1))),
        photo(web.show("/2.png", png(2)), "cat"),
        photo(web.show("/3.png", png(3)), "bird"),
    )
    import_project(ours, theirs.id)
    theirs.say(first, "hound")
    (annotation,) = theirs.client.request("GET", f"/api/tasks/{second}/annotations/")
    for name in ("hound", "cat"):
        path = f"/api/annotations/{annotation['id']}/"
        theirs.client.request("PATCH", path, json={"result": result(name)})
        report = import_project(ours, theirs.id)
        assert current(ours)[str(second)] == name
    assert current(ours)[str(first)] == "hound"
    assert (report.num_labeled, report.num_known) == (1, 3)
    # The images were there already.
    assert len(web.asked) == 3


def test_task_with_the_number_of_a_deleted_one_is_another_task(
    theirs: Theirs, ours: Project
) -> None:
    theirs.add(photo(inline(1), "cat"), photo(inline(2), "bird"))
    (gone,) = theirs.add(photo(inline(3)))
    import_project(ours, theirs.id)
    theirs.client.request("DELETE", f"/api/tasks/{gone}")
    assert theirs.add(photo(inline(4))) == [gone]
    assert import_project(ours, theirs.id).num_added == 1


@pytest.mark.parametrize(("failpoint", "left"), [("ingest:images", 0), ("ingest:ledger", 4)])
def test_import_killed_and_repeated_equals_one_that_was_not(
    theirs: Theirs,
    web: ImageServer,
    new_project: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    failpoint: str,
    left: int,
) -> None:
    names = ("cat", "hound", "bird")
    theirs.add(*(photo(web.show(f"/{n}.png", png(n)), names[n % 3]) for n in range(11)))
    killed, whole = new_project("killed"), new_project("whole")

    done = subprocess.run(
        [sys.executable, "-c", IMPORT, str(killed), str(theirs.id)],
        env={**os.environ, VARIABLE: failpoint},
        stderr=subprocess.PIPE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (-signal.SIGKILL, b"")
    web.asked.clear()
    monkeypatch.setattr(label_studio_import, "CHUNK", 4)
    with Project.open(killed) as one, Project.open(whole) as other:
        with one.ledger.read() as connection:
            assert connection.scalar(sa.select(sa.func.count()).select_from(sample)) == left
        import_project(one, theirs.id)
        assert len(web.asked) == 11 - left
        import_project(other, theirs.id)
        assert one.ledger.digest() == other.ledger.digest()


def test_server_that_fails_while_tasks_are_read_loses_nothing(
    fault_proxy: FaultProxy,
    theirs: Theirs,
    new_project: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(label_studio_import, "CHUNK", 2)
    defaults = LabelStudioClient.page.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "size", 2)
    theirs.add(*(photo(inline(n), ("cat", "bird")[n % 2]) for n in range(6)))
    with Project.open(new_project(url=fault_proxy.url)) as ours:
        for action, left in ((lose_response, 2), (answer(500), 4)):
            fault_proxy.on(action, path="/api/tasks.*greater", skip=left // 2)
            with pytest.raises(TransientError):
                import_project(ours, theirs.id)
            assert len(current(ours)) == left
        report = import_project(ours, theirs.id)
        assert len(current(ours)) == 6
    assert is_whole(report)
    assert (report.num_added, report.num_known) == (2, 4)


def test_server_that_stops_showing_images_loses_nothing(
    fault_proxy: FaultProxy,
    label_studio: LabelStudioServer,
    theirs: Theirs,
    new_project: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(task_downloads, "PAUSES", ())
    for seed in range(7):
        upload(label_studio, theirs.id, seed)
    with Project.open(new_project(url=fault_proxy.url)) as ours:
        busy = fault_proxy.on(answer(503), path="/data/upload/", times=None)
        with pytest.raises(IngestError, match=r"of 7 tasks; .*answered 503"):
            import_project(ours, theirs.id)
        busy.release()
        silent = fault_proxy.on(lose_response, path="/data/upload/", times=None)
        with pytest.raises(TransientError, match="cannot be reached"):
            import_project(ours, theirs.id)
        silent.release()
        assert import_project(ours, theirs.id).num_added == 7


def test_tasks_that_holdfast_asks_in_are_passed_over(theirs: Theirs, ours: Project) -> None:
    ingest_images(ours, [png(0), png(1), png(2)], ["cat", "bird", None])
    (uid,) = ask(ours, 1)
    tasks = theirs.add(
        photo(inline(3), "hound"),
        {"data": {"photo": inline(2), "uid": uid}, "annotations": [{"result": result("cat")}]},
        # Of another Holdfast, which knows other samples.
        {"data": {"photo": inline(4), "uid": "f" * 64}, "annotations": [{"result": result("cat")}]},
    )
    report = import_project(ours, theirs.id)
    assert (report.num_added, len(report.passed_over)) == (2, 1)
    assert f"task={tasks[1]}&" in report.passed_over[0].name
    assert "`holdfast run`" in report.passed_over[0].reason


def test_project_that_cannot_be_taken_in_is_an_error_that_says_why(
    client: LabelStudioClient, theirs: Theirs, ours: Project
) -> None:
    with pytest.raises(IngestError, match="has no tasks"):
        import_project(ours, theirs.id)
    with pytest.raises(ConfigError, match="has no project 999999"):
        import_project(ours, 999999)
    theirs.add(photo("", "cat"))
    with pytest.raises(IngestError, match=r"no usable image \(of 1 tasks; .*has no image"):
        import_project(ours, theirs.id)
    boxes = (
        '<View><Image name="pic" value="$photo"/><RectangleLabels name="box" toName="pic">'
        '<Label value="cat"/></RectangleLabels></View>'
    )
    other = Theirs(client, boxes)
    with pytest.raises(ConfigError, match=rf"project {other.id} .* single-choice control"):
        import_project(ours, other.id)
    single = Theirs(client, f"{INTERFACE.split('<Choice ')[0]}<Choice value='a'/></Choices></View>")
    single.add(photo(inline(1), "a"))
    with pytest.raises(IngestError, match=r"only one class \(a\)"):
        import_project(ours, single.id)


def test_command_says_what_became_of_every_task(
    theirs: Theirs,
    new_project: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    theirs.add(photo(inline(1), "cat"), photo(inline(2), "bird"), photo(""))
    monkeypatch.chdir(new_project())
    assert main(["ingest", "label-studio", "--project", str(theirs.id)]) == 0
    out = capsys.readouterr().out
    assert "added        2 samples" in out
    assert "1 task passed over:\n" in out
    assert main(["ingest", "label-studio"]) == 2
    assert "--project 3" in capsys.readouterr().err
    assert main(["ingest", "folder", "--project", "3"]) == 2
    assert "has no effect with folder" in capsys.readouterr().err
