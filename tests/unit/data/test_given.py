import pytest

from holdfast.data.given import settle


def test_settle_one_word_stands():
    found = settle([("cat", "")])
    assert (found.label, found.said, found.contradicting) == ("cat", (("cat", ""),), ())


def test_settle_repeats_count_but_are_recorded_once():
    found = settle([("cat", ""), ("dog", ""), ("dog", "")])
    assert (found.label, found.said, found.contradicting) == ("dog", (("dog", ""),), ("cat",))


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_settle_last_recorded_is_the_majority_whoever_spoke_last(order):
    said = [("cat", "ann"), ("dog", "bob"), ("dog", "cho")]
    found = settle([said[place] for place in order])
    assert found.label == found.said[-1][0] == "dog"
    assert sorted(found.said) == sorted(said)
    assert found.contradicting == ()


def test_settle_tie_goes_to_the_first():
    assert settle([("cat", "ann"), ("dog", "bob")]).label == "cat"


def test_settle_a_source_against_annotators_is_a_contradiction():
    found = settle([("cat", ""), ("dog", "ann"), ("dog", "bob")])
    assert (found.label, found.contradicting) == ("dog", ("cat",))
