import json

from holdfast.annotation.label_studio_memory import Memory

KNOWN = Memory(marker="m", project=3, created_at="then", tasks=5, highest=9, newest="late")


def test_memory_survives_the_ledger():
    memory = Memory(marker="m", project=3, zone=[1, 2], twins={"ab": [4, 5]})
    assert Memory.read(json.loads(json.dumps(memory.as_json())), adopt=0) == memory


def test_memory_of_nothing_knows_nothing():
    assert Memory.read({}, adopt=0) == Memory.read({}, adopt=7) == Memory()


def test_memory_of_another_project_than_wanted_keeps_the_marker_only():
    ours, theirs = KNOWN.as_json(), {**KNOWN.as_json(), "adopted": True}
    assert Memory.read(ours, adopt=0) == KNOWN
    assert Memory.read(ours, adopt=4) == Memory(marker="m")
    assert Memory.read(theirs, adopt=0) == Memory(marker="m")
    assert Memory.read(theirs, adopt=3).tasks == 5


def test_memory_of_a_project_made_anew_starts_over():
    assert KNOWN.of_project(3, "then", adopted=False) == KNOWN
    for project, created_at in ((4, "then"), (3, "now")):
        fresh = KNOWN.of_project(project, created_at, adopted=False)
        assert (fresh.marker, fresh.project, fresh.created_at) == ("m", project, created_at)
        assert (fresh.tasks, fresh.newest) == (0, None)


def _sent(memory, tasks_before, highest_before, made):
    return memory.after_sending(
        tasks_before=tasks_before, highest_before=highest_before, made=made, model_version="m2"
    )


def test_memory_after_sending_to_a_project_as_known_knows_all_of_it():
    memory = _sent(KNOWN, 5, 9, (10, 11))
    assert (memory.tasks, memory.highest, memory.model_version) == (7, 11, "m2")
    assert _sent(KNOWN, 5, 9, ()).tasks == 5


def test_memory_after_sending_to_a_project_that_changed_lets_the_difference_show():
    for tasks_before, highest_before in ((4, 9), (6, 10), (5, 12)):
        memory = _sent(KNOWN, tasks_before, highest_before, (20,))
        assert (memory.tasks, memory.highest) == (5, 9)
