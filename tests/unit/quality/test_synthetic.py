"""Which generated images may be learned from: identities of the measures, and of the verdict."""

from __future__ import annotations

import numpy as np
import pytest

from holdfast.data.synthetic_settings import SyntheticConfig
from holdfast.quality.synthetic import (
    LEAST_REAL,
    copies,
    density_and_coverage,
    frechet_distance,
    judge,
)

CONFIG = SyntheticConfig()


def _points(num, seed=0, *, dimensions=16, shift=0.0, scale=1.0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(num, dimensions)) * scale + shift).astype(np.float32)


def _judge(real, drawn, num_copies=0, config=CONFIG, others=()):
    return judge(real, drawn, others, config, np.random.default_rng(7), num_copies)


def test_frechet_distance_of_a_set_to_itself_is_zero():
    points = _points(40)
    assert frechet_distance(points, points) == pytest.approx(0, abs=1e-8)


def test_frechet_distance_is_the_same_both_ways_and_in_any_order():
    one, other = _points(40), _points(30, 1, shift=0.5)
    there = frechet_distance(one, other)
    assert frechet_distance(other, one) == pytest.approx(there)
    assert frechet_distance(one[::-1], other) == pytest.approx(there)


def test_frechet_distance_of_a_shift_is_its_square():
    points = _points(40)
    assert frechet_distance(points, points + 3) == pytest.approx(9 * 16, rel=1e-4)


def test_frechet_distance_of_many_is_that_of_their_distributions():
    one, other = _points(4000, dimensions=3), _points(4000, 1, dimensions=3, scale=2)
    assert frechet_distance(one, other) == pytest.approx(3, rel=0.1)


def test_frechet_distance_of_one_image_is_an_error():
    with pytest.raises(ValueError, match="two rows"):
        frechet_distance(_points(1), _points(4))


def test_coverage_of_a_set_by_itself_is_full():
    points = _points(60)
    assert density_and_coverage(points, points)[1] == 1


def test_coverage_of_what_lies_far_away_is_none():
    assert density_and_coverage(_points(60), _points(60, 1, shift=50)) == (0, 0)


def test_coverage_by_one_image_drawn_often_is_low_where_density_is_not():
    real = _points(60)
    density, coverage = density_and_coverage(real, np.repeat(real[:1], 60, axis=0))
    assert coverage < 0.4
    assert density > 0


@pytest.mark.parametrize("num", [LEAST_REAL, 50, 200])
def test_judge_of_other_real_images_passes(num):
    verdict = _judge(_points(num), _points(num, 1))
    assert verdict.passed, verdict.reason
    assert verdict.frechet is not None
    assert (verdict.num_real, verdict.num_drawn, verdict.num_copies) == (num, num, 0)


@pytest.mark.parametrize("num", [LEAST_REAL, 50, 200])
def test_judge_of_noise_fails_both_ways(num):
    verdict = _judge(_points(num), _points(num, 1, shift=2, scale=3))
    assert not verdict.passed
    assert "above the limit" in verdict.reason
    assert "below the limit" in verdict.reason


def test_judge_of_one_image_repeated_fails_coverage():
    real = _points(60)
    drawn = np.repeat(_points(1, 1), 60, axis=0) + _points(60, 2, scale=0.01)
    verdict = _judge(real, drawn, config=SyntheticConfig(frechet=1e9))
    assert not verdict.passed
    assert "within the limit" in verdict.reason
    assert verdict.coverage < CONFIG.coverage * verdict.coverage_real


def test_judge_allows_a_twentieth_of_the_distance_to_the_nearest_other_class():
    real, drawn = _points(60, scale=0.1), _points(60, 1, scale=0.1, shift=0.2)
    far, near = _points(60, 2, shift=20), _points(60, 3, scale=0.1, shift=0.5)
    strict = SyntheticConfig(coverage=0.0)
    assert not _judge(real, drawn, config=strict).passed
    passed = _judge(real, drawn, config=strict, others=[far, _points(1, 4)])
    assert passed.passed
    assert passed.frechet_other == pytest.approx(frechet_distance(real, far))
    refused = _judge(real, drawn, config=strict, others=[far, near])
    assert not refused.passed
    assert refused.frechet_other == pytest.approx(frechet_distance(real, near))


def test_judge_of_another_class_fails():
    real, other = _points(60, scale=0.1), _points(120, 1, scale=0.1, shift=3)
    assert not _judge(real, other[:60], others=[other[60:]]).passed


def test_judge_passes_anything_that_no_limit_forbids():
    lax = SyntheticConfig(frechet=1e9, coverage=0.0)
    assert _judge(_points(60), _points(60, 1, shift=9), config=lax).passed


def test_judge_of_too_few_real_images_says_how_many_it_needs():
    verdict = _judge(_points(LEAST_REAL - 1), _points(60, 1))
    assert not verdict.passed
    assert verdict.reason == "19 real images, 20 are needed to judge by"
    assert verdict.frechet is None


def test_judge_where_most_are_copies_fails():
    verdict = _judge(_points(40), _points(25, 1), num_copies=26)
    assert not verdict.passed
    assert verdict.reason == "26 of 51 images are copies of real ones"
    assert verdict.num_drawn == 51


def test_judge_where_too_few_are_left_fails():
    assert _judge(_points(60), _points(20, 1)).reason.startswith("20 images are left")


def test_judge_twice_says_the_same():
    assert _judge(_points(60), _points(60, 1)) == _judge(_points(60), _points(60, 1))


def test_judge_of_long_embeddings_judges_as_of_short_ones():
    wide = SyntheticConfig()
    real, drawn = _points(60, dimensions=300), _points(60, 1, dimensions=300)
    assert _judge(real, drawn, config=wide).passed
    assert not _judge(real, drawn + 1, config=wide).passed


def _pictures(num, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (num, 1, 6, 6), np.uint8)


def test_copies_are_real_images_again_or_almost():
    real, fresh = _pictures(12), _pictures(2, 1)
    almost = real[3].copy()
    almost[0, 0, 0] ^= 7
    drawn = np.concatenate([real[:1], fresh[:1], almost[None], fresh[1:]])
    assert copies(drawn, real).tolist() == [True, False, True, False]


def test_copies_of_an_earlier_drawn_image_are_marked_once():
    fresh = _pictures(2, 1)
    drawn = np.concatenate([fresh, fresh[:1]])
    assert copies(drawn, _pictures(12)).tolist() == [False, False, True]


def test_copies_of_a_real_image_that_is_there_twice_are_marked():
    real = np.concatenate([_pictures(6), _pictures(6)])
    almost = real[:1].copy()
    almost[0, 0, 0, 0] ^= 3
    assert copies(almost, real).tolist() == [True]


def test_copies_of_nothing_or_nobody_are_none():
    assert copies(_pictures(0), _pictures(3)).tolist() == []
    assert copies(_pictures(2), _pictures(0)).tolist() == [False, False]
