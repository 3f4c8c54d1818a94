from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from holdfast.errors import CheckpointMismatchError
from holdfast.phases.guesses import Guesser
from holdfast.phases.scoring import load_state, score
from holdfast.project import Project
from holdfast.store import labels, quarantine, samples
from tests.asked_project import ask, crown

LAZY = """
import sys
from pathlib import Path
from holdfast.phases.guesses import Guesser
from holdfast.project import Project
with Project.open(Path(sys.argv[1])) as project:
    guesser = Guesser(project)
    assert guesser.champion() == sys.argv[3], guesser.champion()
    assert guesser.guess(["f" * 64]) == {}
    assert "torch" not in sys.modules
    assert len(guesser.guess([sys.argv[2]])) == 1
    assert "torch" in sys.modules
"""


@pytest.fixture
def project(tiny_project: Callable[[str], Path]) -> Iterator[Project]:
    with Project.open(tiny_project("project")) as opened:
        yield opened


def test_guess_is_what_the_champion_says(project: Project) -> None:
    uids = ask(project, 5)
    champion = crown(project, 0)
    guesses = Guesser(project).guess(uids)
    with project.ledger.read() as connection:
        known = samples.ids_of(connection, uids)
        names = labels.class_names(connection)
    said = score(project, load_state(project, champion), np.array(list(known.values())))
    assert [guesses[uid].class_name for uid in known] == [names[i] for i in said.guesses_n]
    assert [guesses[uid].probability for uid in known] == pytest.approx(
        said.pred_probs_nk.max(axis=1).tolist()
    )
    assert {one.model for one in guesses.values()} == {champion[:12]}


def test_guesses_follow_a_change_of_champion(project: Project) -> None:
    uids = ask(project, 1)
    guesser = Guesser(project)
    assert guesser.champion() is None
    assert guesser.guess(uids) == {}
    first = crown(project, 0)
    before = guesser.guess(uids)[uids[0]]
    second = crown(project, 1)
    after = guesser.guess(uids)[uids[0]]
    assert (before.model, after.model) == (first[:12], second[:12])
    assert before.probability != after.probability
    assert guesser.champion() == second[:12]


def test_model_is_loaded_once_for_each_champion(project: Project) -> None:
    uids = ask(project, 2)
    champion = crown(project, 0)
    guesser = Guesser(project)
    before = guesser.guess(uids)
    # Nothing reads the file again: it could not.
    for file in project.models.glob(f"{champion}*"):
        file.unlink()
    assert guesser.guess(uids) == before
    with pytest.raises(CheckpointMismatchError):
        Guesser(project).guess(uids)


def test_guesses_pass_over_what_cannot_be_used(project: Project) -> None:
    first, second = ask(project, 2)
    crown(project, 0)
    with project.ledger.write() as connection:
        (sample_id,) = samples.ids_of(connection, [first]).values()
        quarantine.set_aside(connection, {sample_id: "dark"}, "test")
    assert list(Guesser(project).guess([first, "f" * 64, second, second])) == [second]


def test_guesses_of_many_threads_are_those_of_one(project: Project) -> None:
    uids = ask(project, 8)
    crown(project, 0)
    alone = Guesser(project).guess(uids)
    guesser = Guesser(project)
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(lambda uid: guesser.guess([uid])[uid], uids))
    assert [one.class_name for one in together] == [alone[uid].class_name for uid in uids]


def test_torch_is_imported_at_the_first_guess(project: Project) -> None:
    (uid,) = ask(project, 1)
    champion = crown(project, 0)
    command = [sys.executable, "-c", LAZY, str(project.root), uid, champion[:12]]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
