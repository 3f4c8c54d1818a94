"""Minimizes several convex functions of equal shape at once, each at its own pace.

Shape suffixes: f functions, k rows and d columns of the parameters of each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor

Objective = Callable[[Tensor], tuple[Tensor, Tensor]]

_REMEMBERED = 10  # steps that shape the next one; 6 took 15 % more passes, 20 as many
_SUFFICIENT = 1e-4  # share of the promised decrease that a step has to keep (Armijo)
_ROUNDING = 1e-7  # relative; a rise this small of a float32 sum is no rise
_SHORTEST = 1e-6  # a step cut down to this cannot be told from rounding


def minimize(
    objective: Objective,
    start_fkd: Tensor,
    precondition: Callable[[Tensor], Tensor],
    *,
    gap: float,
    flat_f: Tensor,
    max_steps: int,
) -> Tensor:
    """Return a minimum of each function, by L-BFGS from a preconditioner.

    All functions are evaluated together. One whose step was too long tries a shorter one
    while the others go on; one that has arrived waits.

    Parameters
    ----------
    objective : callable
        Of parameters, shape (F, K, D): values, float64 of shape (F,), and gradients.
    precondition : callable
        Of gradients: roughly the inverse of each second derivative, times the gradient.
    gap : float
        A function has arrived when the decrease its next step promises is below this share
        of its value;
    flat_f : Tensor, shape (F,)
        or when no entry of its gradient is larger than this.
    max_steps : int
        Evaluations after the first, at most.

    Notes
    -----
    Cost: one evaluation a step. Memory: 20 times the parameters.

    References
    ----------
    .. [1] Liu and Nocedal, "On the limited memory BFGS method for large scale
       optimization", Mathematical Programming 1989.
    """
    current = start_fkd
    value_f, gradient = objective(current)
    memory = _Memory(precondition, value_f)
    direction = memory.direction(gradient)
    slope_f, length_f = _dot(direction, gradient), torch.ones_like(value_f)
    for _ in range(max_steps):
        arrived_f = -slope_f / 2 <= gap * value_f
        arrived_f |= gradient.abs().amax((1, 2)) <= flat_f
        arrived_f |= length_f < _SHORTEST
        if arrived_f.all():
            break
        length_f = torch.where(arrived_f, 0.0, length_f)
        tried = current + _wide(length_f) * direction
        tried_value_f, tried_gradient = objective(tried)
        promised_f = length_f * slope_f
        taken_f = tried_value_f <= value_f + _SUFFICIENT * promised_f + _ROUNDING * value_f.abs()
        taken_f &= ~arrived_f
        memory.add(tried - current, tried_gradient - gradient, taken_f)
        # The parabola through both values and the slope has its minimum here.
        excess_f = tried_value_f - value_f - promised_f
        shorter_f = (-promised_f * length_f / (2 * excess_f)).nan_to_num(0.0)
        shorter_f = torch.minimum(torch.maximum(shorter_f, 0.1 * length_f), 0.5 * length_f)
        # One that has arrived keeps its direction, and so its verdict.
        length_f = torch.where(taken_f, 1.0, torch.where(arrived_f, 1.0, shorter_f))
        value_f = torch.where(taken_f, tried_value_f, value_f)
        current = torch.where(_wide(taken_f), tried, current)
        gradient = torch.where(_wide(taken_f), tried_gradient, gradient)
        direction = torch.where(_wide(taken_f), memory.direction(gradient), direction)
        slope_f = _dot(direction, gradient)
    return current


class _Memory:
    """The last steps of every function and how its gradient changed along them."""

    def __init__(self, precondition: Callable[[Tensor], Tensor], value_f: Tensor) -> None:
        self._precondition = precondition
        self._pairs: deque[tuple[Tensor, Tensor, Tensor]] = deque(maxlen=_REMEMBERED)
        self._scale_f = torch.ones_like(value_f)

    def add(self, step: Tensor, change: Tensor, taken_f: Tensor) -> None:
        """Remember the step of those functions that took it."""
        curvature_f = _dot(step, change)
        sound_f = taken_f & (curvature_f > 0)
        inverse_f = torch.where(sound_f, 1 / curvature_f, 0.0)
        self._pairs.append((step, change, inverse_f))
        # How much the preconditioner over- or underestimates, along the newest step. Without
        # it a preconditioner from overconfident probabilities had to be cut every other step.
        ratio_f = curvature_f / _dot(change, self._precondition(change))
        self._scale_f = torch.where(sound_f, ratio_f.clamp(0.01, 3.0), self._scale_f)

    def direction(self, gradient: Tensor) -> Tensor:
        """Return the direction of the next step, by the two-loop recursion."""
        direction = gradient.clone()
        parts = []
        for step, change, inverse_f in reversed(self._pairs):
            part = _wide(inverse_f * _dot(step, direction))
            direction -= part * change
            parts.append(part)
        direction = _wide(self._scale_f) * self._precondition(direction)
        for (step, change, inverse_f), part in zip(self._pairs, reversed(parts), strict=True):
            direction += (part - _wide(inverse_f * _dot(change, direction))) * step
        return -direction


def _dot(left_fkd: Tensor, right_fkd: Tensor) -> Tensor:
    return (left_fkd * right_fkd).sum((1, 2)).double()


def _wide(value_f: Tensor) -> Tensor:
    """Return one number per function so that it spreads over parameters."""
    value = value_f if value_f.dtype is torch.bool else value_f.float()
    return value[:, None, None]
