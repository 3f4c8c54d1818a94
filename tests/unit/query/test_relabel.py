import numpy as np

from holdfast.query.relabel import rank_suspects


def _rank(probs, verified, threshold=0.2):
    n = len(probs)
    return rank_suspects(
        np.arange(n) + 100,
        np.zeros(n, np.int64),
        np.ones(n, np.int64),
        np.asarray(probs, np.float64),
        np.asarray(verified),
        threshold=threshold,
    )


def test_rank_suspects_most_suspect_first_down_to_the_threshold():
    suspects = _rank([0.1, 0.9, 0.5, 0.19], [False] * 4)
    assert suspects.sample_ids_s.tolist() == [101, 102]
    assert suspects.error_probs_s.tolist() == [0.9, 0.5]


def test_rank_suspects_clean_labels_spend_no_answer():
    assert len(_rank([0.0, 0.01, 0.1], [False] * 3)) == 0


def test_rank_suspects_verified_label_comes_after_an_unverified_one_and_less_often():
    suspects = _rank([0.6, 0.6, 0.99], [True, False, True], threshold=0.3)
    assert suspects.sample_ids_s.tolist() == [102, 101]


def test_rank_suspects_nothing_labeled_gives_nothing():
    assert len(_rank([], np.empty(0, np.bool_))) == 0
