from datetime import UTC, datetime, timedelta, timezone

from holdfast.annotation.task_filters import time_filter


def test_time_filter_is_in_utc_to_the_microsecond():
    moment = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
    assert time_filter("updated_at", "greater", moment) == {
        "filter": "filter:tasks:updated_at",
        "operator": "greater",
        "type": "Datetime",
        "value": "2026-01-02T03:04:05.000678Z",
    }


def test_time_filter_of_a_whole_second_keeps_its_fraction():
    # Without one Label Studio answers 500.
    moment = datetime(2026, 1, 2, 5, tzinfo=timezone(timedelta(hours=2)))
    assert time_filter("updated_at", "less", moment)["value"] == "2026-01-02T03:00:00.000000Z"
