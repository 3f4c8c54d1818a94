"""The report says what the audit found, and first what makes its numbers untrue."""

from holdfast.evaluation.advice import next_steps
from holdfast.evaluation.audit_section import audit, leak
from holdfast.evaluation.report import render
from holdfast.evaluation.report_data import ReportData, to_json

FOUND = {
    "labels": 90,
    "flagged_by_class": {"cat": 3},
    "confused": [
        {
            "first": "cat",
            "second": "<dog>",
            "first_as_second": 4,
            "second_as_first": 1,
            "first_rate": 0.08,
            "second_rate": 0.025,
        }
    ],
    "weak_groups": [
        {"name": "slide 3", "is_cluster": False, "size": 20, "rate": 0.4, "expected": 0.1},
        {"name": "7.png", "is_cluster": True, "size": 10, "rate": 0.5, "expected": 0.2},
    ],
    "images": {
        "found": {"near_duplicate": 6},
        "common": {"grayscale": 1.0},
        "across_splits": {
            "sets": 2,
            "examples": [{"holdout": ["a.png"], "train": ["b.png", "c.png"]}],
        },
    },
}


def report(found):
    return ReportData(
        title="t", made_at="", class_names=("cat", "<dog>"), labeled_counts=(50, 40), audit=found
    )


def test_section_shows_every_part_of_the_audit():
    text = audit(report(FOUND))
    for part in ("near duplicate", "8.0%", "slide 3", "like 7.png", "cat and &lt;dog&gt;"):
        assert part in text
    assert "100% of the images, which is how this set is" in text
    assert "<dog>" not in text


def test_report_without_an_audit_leaves_the_section_out():
    assert audit(report({})) == ""
    assert "What the audit found" not in render(report({}))
    assert leak(report({})) is None


def test_section_of_an_audit_without_labels_shows_the_images():
    text = audit(report({"labels": 0, "images": {"found": {"dark": 2}}}))
    assert "dark" in text
    assert "Classes taken" not in text


def test_copies_across_the_split_come_before_other_advice():
    step = next_steps(report(FOUND))[1]
    assert (
        "2 pictures lie in the holdout and, copied or nearly so, in training (as a.png is b.png)"
        in step
    )
    assert step.replace("holdfast audit", "") in render(report(FOUND)).replace("holdfast audit", "")


def test_json_holds_what_the_ledger_kept():
    assert to_json(report(FOUND))["audit"] == FOUND
