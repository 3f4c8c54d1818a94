from holdfast.annotation.oracle import Card


def _why(**kwargs):
    return Card(sample_id=1, uid="a", **kwargs).why


def test_card_of_a_suspect_names_both_labels():
    why = _why(reason="suspect", label="glass", guess="metal")
    assert "glass" in why
    assert "metal" in why


def test_card_of_a_suspect_whose_guess_is_its_label_proposes_nothing():
    assert "More likely" not in _why(reason="suspect", label="glass", guess="glass")


def test_card_of_a_new_sample_says_what_its_score_is_made_of():
    unsure = _why(reason="uncertain", guess="a", parts={"uncertainty": 0.9, "novelty": 0.1})
    novel = _why(reason="uncertain", guess="a", parts={"uncertainty": 0.1, "novelty": 0.9})
    assert unsure == "The model cannot decide."
    assert novel == "Unlike anything labeled so far."
