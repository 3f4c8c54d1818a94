def test_round_over_the_day_limit_waits_and_goes_on(person, shelf):
    person.succeed("ingest", str(shelf.labeled))
    person.succeed("ingest", str(shelf.unlabeled))
    person.set({"query.per_day": "8"})
    person.play("round-1")
    assert len(person.questions("round-1")) == 6
    exit_code, _ = person.run()
    assert exit_code == 75
    assert len(person.questions("round-2")) == 2  # what was left of the day
    person.answer("round-2")
    assert person.run()[0] == 0
    exit_code, said = person.run()
    assert (exit_code, said["error"]) == (75, "DayLimitError")
    assert "query.per_day" in said["message"]
    person.set({"query.per_day": "20"})
    assert person.run()[1]["error"] == "AnnotationsPendingError"
    assert len(person.questions("round-3")) == 6
