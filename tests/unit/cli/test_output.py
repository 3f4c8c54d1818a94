from holdfast.cli.output import count, facts, table


def test_table_columns_line_up_and_numbers_stand_right():
    text = table(["class", "labels", "f1"], [["cat", 12000, 0.5], ["a long name", None, 0.25]])
    assert text.splitlines() == [
        "class        labels     f1",
        "cat          12,000  0.500",
        "a long name       -  0.250",
    ]


def test_table_without_rows_is_its_header():
    assert table(["a", "b"], []) == "a  b"


def test_facts_line_up():
    assert facts({"a": "1", "long": "2"}).splitlines() == ["a     1", "long  2"]


def test_count_names_one_in_the_singular():
    assert [count(n, "sample") for n in (0, 1, 2000)] == ["0 samples", "1 sample", "2,000 samples"]
