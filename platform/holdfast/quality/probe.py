"""Class probabilities of every sample from the folds it is not in: a linear probe.

Shape suffixes: n samples, m samples of a block, d embedding dimensions, k classes, f folds,
o folds other than a block's own.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from holdfast.model.network import resolve_device
from holdfast.quality.probe_samples import Block, Blocks, Samples, finite_sum, in_their_span
from holdfast.quality.quasi_newton import minimize
from holdfast.records import Floats, Ids

# Where no entry of the mean loss's gradient is above this share of the gap, 3e-5 by default,
# classes lie apart and only the lengths of the weights still grow. scikit-learn stops at
# 1e-4, at losses up to twice as high.
_FLAT = 0.3
_MAX_STEPS = 300
# The first steps are taken on a sixteenth of the samples: where classes lie apart that saves
# most of the passes, elsewhere it costs a fifth of one. A quarter next saved nothing more.
_FIRST_STEPS = 3
_FIRST_SHARE, _FIRST_LEAST = 16, 4_096
_CURVATURE_SHARE, _CURVATURE_LEAST = 8, 8_192
# A logit that stands for "not among the labels of this fold": its probability is exactly 0.
_NEVER = -1e9


def probe(
    columns_n: Ids,
    embeddings_nd: Floats,
    folds_n: Ids,
    *,
    weights_n: NDArray[np.floating] | None = None,
    balanced: bool = False,
    strength: float = 1.0,
    gap: float = 1e-4,
    device: str = "auto",
) -> Floats:
    """Return each sample's class probabilities by the probe of all folds but its own.

    The probe is multinomial logistic regression with an L2 penalty on its weights, the
    objective of scikit-learn's `LogisticRegression(C=strength)`: two classes share one
    weight vector, as there. All folds are trained together: a pass over the samples is
    one product with the weights of all folds, and one back. No probe starts from or learns
    a label it is to judge; the folds share no more than a guess at the curvature, which
    decides how soon they arrive and not where.

    Parameters
    ----------
    columns_n : ndarray of int64, shape (N,)
        Labels as columns 0..K-1.
    embeddings_nd : ndarray, shape (N, D)
        Any float type; may be a memory map, which is read in blocks.
    folds_n : ndarray of int64, shape (N,)
        Fold of each sample, 0..F-1.
    weights_n : ndarray of float, shape (N,), optional
        Weight of each label, not negative; low = doubtful.
    balanced : bool
        Whether all classes of a fold weigh the same, as with scikit-learn's
        `class_weight="balanced"`.
    strength : float
        Weight of the labels against the penalty, above 0.
    gap : float
        Share of the objective that may be left to gain, above 0; below 1e-6 rounding rules.
    device : str
        As `network.device`.

    Returns
    -------
    ndarray of float32, shape (N, K)
        Rows sum to 1. Exactly 0 for a class without any weight in the other folds; all
        alike where the other folds are empty.

    Raises
    ------
    ValueError
        If the arrays differ in length, an embedding or weight is not finite, or a weight is
        negative.
    ConfigError
        If the machine has no such device.

    Notes
    -----
    Cost: 2 to 8 passes for classes that lie apart and 12 to 40 for those that overlap,
    O(N D F K) each, and O(N D² + D³) once for the curvature. Memory: O(N K) for the result,
    O(D F K) for the solver, O(D²), and a block, or all samples where they are few enough to
    be held (`probe_samples.HELD_BYTES`): 150 MB beyond the map's pages for 400,000 x 512
    mapped samples. The same input gives the same bits on one machine with one number of
    threads.

    References
    ----------
    .. [1] Böhning, "Multinomial logistic regression algorithm", Annals of the Institute of
       Statistical Mathematics 1992 (one matrix that bounds the curvature of all classes).
    .. [2] Byrd et al., "Sample size selection in optimization methods for machine
       learning", Mathematical Programming 2012 (first steps on fewer samples).
    """
    weights = _checked_weights(columns_n, embeddings_nd, folds_n, weights_n)
    mean = (finite_sum(embeddings_nd) / len(columns_n)).astype(np.float32)
    if len(columns_n) < embeddings_nd.shape[1]:
        embeddings_nd = in_their_span(embeddings_nd - mean)
        mean = np.zeros(embeddings_nd.shape[1], np.float32)
    samples = Samples(columns_n, embeddings_nd, mean, folds_n, weights, resolve_device(device))
    problem = _Problem(samples, balanced=balanced, strength=strength, gap=gap)
    everything = samples.blocks()
    start = torch.zeros(
        (samples.num_folds, samples.num_classes, samples.num_dimensions + 1), device=samples.device
    )
    few = samples.part(_FIRST_SHARE, _FIRST_LEAST)
    some = samples.part(_CURVATURE_SHARE, _CURVATURE_LEAST)
    if few.stride > 1:
        start = problem.solve(few, start, problem.curvature(few, start), _FIRST_STEPS)
    solved = problem.solve(everything, start, problem.curvature(some, start), _MAX_STEPS)
    return problem.predict(everything, solved)


class _Problem:
    """The objective of every fold; parameters have the shape (F, K, D + 1), intercept last."""

    def __init__(self, samples: Samples, *, balanced: bool, strength: float, gap: float) -> None:
        num_folds, num_classes = samples.num_folds, samples.num_classes
        cells = samples.folds_n * num_classes + samples.columns_n
        weight_fk = np.bincount(cells, samples.weights_n, num_folds * num_classes)
        weight_fk = weight_fk.reshape(num_folds, num_classes)
        # What is left when the fold's own labels are taken out, free of rounding.
        other_fk = np.stack(
            [np.delete(weight_fk, fold, axis=0).sum(axis=0) for fold in range(num_folds)]
        )
        known_fk = other_fk > 0
        factor_fk = known_fk.astype(np.float64)
        if balanced:
            even_f1 = other_fk.sum(axis=1, keepdims=True) / np.maximum(
                known_fk.sum(axis=1, keepdims=True), 1
            )
            factor_fk = np.where(known_fk, even_f1 / np.where(known_fk, other_fk, 1), 0.0)
        device = samples.device
        self._factor_fk = torch.from_numpy(factor_fk).float().to(device)
        self._offset_fk = torch.from_numpy(np.where(known_fk, 0.0, _NEVER)).float().to(device)
        total_f = torch.from_numpy((other_fk * factor_fk).sum(axis=1)).to(device)
        self._gap, self._flat_f = gap, _FLAT * gap * total_f
        # Two softmax weight vectors w and -w are penalized half as much as their difference,
        # which is what a logistic regression of two classes is penalized for.
        penalty_f = np.where(known_fk.sum(axis=1) == 2, 2.0, 1.0) / strength
        self._penalty_f = torch.from_numpy(penalty_f).float().to(device)
        self._samples = samples

    def solve(self, blocks: Blocks, start: Tensor, curvature: _Curvature, max_steps: int) -> Tensor:
        """Return the weights of every fold for some samples."""
        return minimize(
            lambda weights: self._value(blocks, weights),
            start,
            curvature.divide,
            gap=self._gap,
            flat_f=self._flat_f,
            max_steps=max_steps,
        )

    def _value(self, blocks: Blocks, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return value, float64, and gradient of every fold's objective."""
        num_folds, num_classes, _ = weights.shape
        slopes = weights[..., :-1]
        penalty = self._penalty_f[:, None, None]
        value_f = 0.5 * self._penalty_f.double() * slopes.double().square().sum((1, 2))
        gradient = torch.zeros_like(weights)
        gradient[..., :-1] = penalty * slopes
        for block in blocks:
            others = [fold for fold in range(num_folds) if fold != block.fold]
            if not others:
                continue
            logits = self._logits(block, weights, others)
            log_probs_okm = torch.log_softmax(logits, dim=1)
            weight_om = block.weights_m * self._factor_fk[others][:, block.columns_m]
            own = block.columns_m.expand(len(others), 1, -1)
            value_f[others] -= (weight_om * log_probs_okm.gather(1, own)[:, 0]).sum(1).double()
            residual_okm = log_probs_okm.exp_()
            residual_okm.scatter_add_(1, own, residual_okm.new_full((1,), -1.0).expand(own.shape))
            residual_okm *= weight_om[:, None]
            flat = residual_okm.view(-1, len(block.rows)) @ block.embeddings_md
            gradient[others, :, :-1] += flat.view(len(others), num_classes, -1)
            gradient[others, :, -1] += residual_okm.sum(2)
        return value_f, gradient

    def _logits(self, block: Block, weights: Tensor, folds: list[int]) -> Tensor:
        """Return logits by the probes of some folds, shape (O, K, M)."""
        chosen = weights[folds]
        intercept = (chosen[..., -1] + self._offset_fk[folds]).reshape(-1, 1)
        slopes = chosen[..., :-1].reshape(len(intercept), -1)
        logits = torch.addmm(intercept, slopes, block.embeddings_md.T)
        return logits.view(len(folds), weights.shape[1], -1)

    def curvature(self, blocks: Blocks, weights: Tensor) -> _Curvature:
        """Return about the curvature at some weights, one for all folds."""
        size, device = self._samples.num_dimensions, self._samples.device
        gram_dd = torch.zeros((size, size), dtype=torch.float64, device=device)
        spread_k = torch.zeros(weights.shape[1], dtype=torch.float64, device=device)
        middle = weights.mean(0, keepdim=True)
        factor_k = self._factor_fk.mean(0)
        for block in blocks:
            probs_km = torch.softmax(self._logits(block, middle, [0])[0], dim=0)
            weight_m = block.weights_m * factor_k[block.columns_m]
            spread_km = probs_km * (1 - probs_km) * weight_m
            spread_k += spread_km.sum(1).double()
            scaled = block.embeddings_md * spread_km.sum(0)[:, None]
            gram_dd += (scaled.T @ block.embeddings_md).double()
        return _Curvature(gram_dd, spread_k, float(self._penalty_f.mean()))

    def predict(self, blocks: Blocks, weights: Tensor) -> Floats:
        """Return each sample's probabilities by the probe of its fold."""
        probs_nk = np.empty((self._samples.num, self._samples.num_classes), np.float32)
        for block in blocks:
            probs_km = torch.softmax(self._logits(block, weights, [block.fold])[0], dim=0)
            probs_nk[block.rows] = probs_km.T.cpu().numpy()
        return probs_nk


class _Curvature:
    """The second derivative as one matrix for all classes, which differ in a factor.

    Of the spread of class probabilities, ``p (1 - p)``, each class gets its share of the sum;
    the matrix is the embeddings' second moment, weighted by that sum.
    """

    def __init__(self, gram_dd: Tensor, spread_k: Tensor, penalty: float) -> None:
        total = spread_k.sum().clamp(min=1e-12)
        moments_d, axes_dd = torch.linalg.eigh(gram_dd)
        share_k = spread_k / total
        self._divisor_kd = (share_k[:, None] * moments_d.clamp(min=0) + penalty).float()
        self._axes_dd = axes_dd.float()
        self._divisor_k = (spread_k + 1e-6 * total).float()

    def divide(self, gradient: Tensor) -> Tensor:
        """Return the step that a quadratic with this curvature asks for."""
        step = torch.empty_like(gradient)
        along = (gradient[..., :-1] @ self._axes_dd) / self._divisor_kd
        step[..., :-1] = along @ self._axes_dd.T
        step[..., -1] = gradient[..., -1] / self._divisor_k
        return step


def _checked_weights(
    columns_n: Ids,
    embeddings_nd: Floats,
    folds_n: Ids,
    weights_n: NDArray[np.floating] | None,
) -> Floats:
    given = np.ones(len(columns_n)) if weights_n is None else weights_n
    weights: Floats = given.astype(np.float32)
    lengths = (len(columns_n), len(embeddings_nd), len(folds_n), len(weights))
    if len(set(lengths)) > 1 or not len(columns_n):
        raise ValueError(
            "labels, embeddings, folds and weights should be as many, and at least one, "
            f"not {lengths[0]}, {lengths[1]}, {lengths[2]} and {lengths[3]}"
        )
    if not np.isfinite(weights).all() or weights.min() < 0:
        row = int(np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))[0])
        raise ValueError(
            f"weights should be 0 or more and finite, but row {row} has {weights[row]}"
        )
    return weights
