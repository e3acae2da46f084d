"""Intervals: against published figures, by their properties, and by how often they cover the truth."""

from __future__ import annotations

import itertools
import math
import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.statistics import MeanScore, pass_at_k, wilson

SCORES = st.floats(0, 1) | st.sampled_from([0.0, 1.0])
CLUSTERED = st.lists(st.tuples(SCORES, st.integers(0, 5)), min_size=1, max_size=30)


def mean_score(pairs: list[tuple[float, int]]) -> MeanScore:
    found = MeanScore()
    for score, cluster in pairs:
        found.add(score, cluster)
    return found


# --- Wilson -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [
        # Newcombe (1998), Two-sided confidence intervals for the single proportion, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
        # By hand, n / (n + z²): 12 right of 12 say no more than that.
        (12, 12, 0.7575, 1.0),
        (0, 12, 0.0, 0.2425),
    ],
)
def test_wilson_gives_the_published_intervals(right: int, n: int, low: float, high: float) -> None:
    assert wilson(right / n, n) == pytest.approx((low, high), abs=0.00006)


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share_stays_in_bounds_and_mirrors(pair: tuple[int, int]) -> None:
    right, n = pair
    low, high = wilson(right / n, n)
    assert 0 <= low <= right / n <= high <= 1
    assert wilson((n - right) / n, n) == pytest.approx((1 - high, 1 - low))


def test_wilson_narrows_with_n() -> None:
    widths = [high - low for low, high in (wilson(0.3, n) for n in (1, 10, 100, 1000))]
    assert widths == sorted(widths, reverse=True)


def test_without_trials_everything_is_possible() -> None:
    assert wilson(0.5, 0) == (0.0, 1.0)
    assert MeanScore().interval() == (0.0, 1.0)
    assert math.isnan(MeanScore().mean)


# --- means of clustered scores ------------------------------------------------------------------------------


@given(CLUSTERED)
def test_the_interval_holds_the_mean(pairs: list[tuple[float, int]]) -> None:
    found = mean_score(pairs)
    low, high = found.interval()
    assert 0 <= low <= found.mean <= high <= 1


@given(CLUSTERED, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_count(pairs: list[tuple[float, int]], rng: random.Random) -> None:
    shuffled = rng.sample(pairs, len(pairs))
    assert mean_score(shuffled).mean == mean_score(pairs).mean
    assert mean_score(shuffled).interval() == pytest.approx(mean_score(pairs).interval())


@given(CLUSTERED)
def test_names_of_clusters_do_not_count(pairs: list[tuple[float, int]]) -> None:
    renamed = MeanScore()
    for score, cluster in pairs:
        renamed.add(score, f"images/{cluster}.png")
    assert renamed.interval() == pytest.approx(mean_score(pairs).interval())


def test_0_and_1_scores_on_their_own_have_wilsons_interval() -> None:
    # The variance is estimated with G/(G − 1), so 39 of 40 rows count.
    found = mean_score([(float(number < 10), number) for number in range(40)])
    assert found.effective_n() == pytest.approx(39)
    assert found.interval() == pytest.approx(wilson(0.25, 39))


def test_rows_that_always_agree_count_once() -> None:
    # Worked by hand: residual sums ±1, variance 2/1 · 2/16 = 1/4, so m(1 − m)/var = 1.
    assert mean_score([(1, 0), (1, 0), (0, 1), (0, 1)]).effective_n() == pytest.approx(1)


def test_questions_about_the_same_image_widen_the_interval() -> None:
    alone = mean_score([(float(number < 50), number) for number in range(100)])
    shared = mean_score([(float(number < 50), number // 10) for number in range(100)])
    low, high = alone.interval()
    wide_low, wide_high = shared.interval()
    assert shared.mean == alone.mean
    assert wide_high - wide_low > 2.5 * (high - low)  # 10 clusters instead of 100 rows: about √10


def test_0_and_1_scores_never_count_for_more_than_their_rows() -> None:
    # Nearly every image has a right and a wrong row: clusters differ less than chance would have it.
    pairs = [(float(number % 2), number // 2) for number in range(20)] + [(1.0, 10), (1.0, 10)]
    assert mean_score(pairs).effective_n() == 22


def test_graded_scores_have_a_narrower_interval_than_right_and_wrong_of_the_same_mean() -> None:
    graded = mean_score([(0.4 if number % 2 else 0.6, number) for number in range(100)])
    binary = mean_score([(float(number % 2), number) for number in range(100)])
    assert graded.mean == pytest.approx(binary.mean)
    assert graded.effective_n() > 10 * binary.effective_n()


@pytest.mark.parametrize("score", [0.0, 1.0, 0.5])
def test_rows_on_their_own_that_all_agree_have_wilsons_interval(score: float) -> None:
    assert mean_score([(score, number) for number in range(12)]).interval() == wilson(score, 12)


def test_a_row_that_goes_wrong_lowers_the_interval_and_never_raises_it() -> None:
    # With all rows right there is no variance to estimate; the interval must not jump there.
    lows = [
        mean_score([(float(number >= wrong), number // 5) for number in range(60)]).interval()[0]
        for wrong in range(6)
    ]
    assert lows == sorted(lows, reverse=True)
    assert lows[0] - lows[1] < 0.05


def test_a_single_image_says_next_to_nothing() -> None:
    low, high = mean_score([(1.0, 0)] * 1000).interval()
    assert low < 0.25
    assert high == 1.0


@pytest.mark.parametrize("graded", [False, True])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(graded: bool) -> None:
    # 40 images, five questions each, whose answers depend on the image. Without clusters: 80 %.
    rng = random.Random(7)
    covered = ignoring_clusters = 0
    trials = 400
    truth = 0.5  # the mean of a Beta(1, 1)
    for _ in range(trials):
        clustered, naive = MeanScore(), MeanScore()
        for image in range(40):
            share = rng.betavariate(1, 1)
            for question in range(5):
                score = rng.betavariate(1 + share, 2 - share) if graded else float(rng.random() < share)
                clustered.add(score, image)
                naive.add(score, (image, question))
        low, high = clustered.interval()
        covered += low <= truth <= high
        low, high = naive.interval()
        ignoring_clusters += low <= truth <= high
    assert 0.92 <= covered / trials <= 0.98
    if not graded:
        assert ignoring_clusters / trials < 0.90


# --- pass@k -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", range(1, 7))
def test_pass_at_k_is_the_share_of_draws_with_a_right_sample(n: int) -> None:
    for correct, k in itertools.product(range(n + 1), range(1, n + 1)):
        draws = list(itertools.combinations([True] * correct + [False] * (n - correct), k))
        share = Fraction(sum(map(any, draws)), len(draws))
        assert pass_at_k(n, correct, k) == pytest.approx(float(share))


@pytest.mark.parametrize(("n", "k"), [(4, 5), (4, 0), (0, 1)])
def test_pass_at_k_of_fewer_samples_is_refused(n: int, k: int) -> None:
    with pytest.raises(ValueError, match=f"pass@{k} of {n} samples"):
        pass_at_k(n, 0, k)
