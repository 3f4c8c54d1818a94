"""The learning rate of each step."""

from __future__ import annotations

import math

from holdfast.learning.settings import OptimizerConfig

WARM_UP = 0.1  # share of the steps in which the cosine's rate rises
LAST_RATE = 0.01  # of the highest rate, at the cosine's last step
FIRST_RATE = 0.7  # of the configured rate, before any sample was seen
DECAY = 0.95  # after each `DECAY_SAMPLES` samples seen; all but stops learning at 200,000
DECAY_SAMPLES = 1000


def rate(config: OptimizerConfig, step: int, steps: int, samples_seen: int) -> float:
    """Return the learning rate of one step, 0 or more.

    Parameters
    ----------
    config : OptimizerConfig
        Its `learning_rate` and `schedule` are read.
    step, steps : int
        Steps of this update taken before, in [0, `steps`), and in all.
    samples_seen : int
        Samples in the batches of all steps before this one, over all updates.

    Raises
    ------
    ValueError
        If the step is not one of the update's.

    References
    ----------
    .. [1] Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts",
       ICLR 2017 (`cosine`; the rise before it: Goyal et al., "Accurate, Large Minibatch
       SGD", arXiv 2017).

    Examples
    --------
    >>> decaying = OptimizerConfig(learning_rate=1.0, schedule="samples_seen")
    >>> [round(rate(decaying, 0, 1, seen), 4) for seen in (0, 999, 1000, 2500)]
    [0.7, 0.7, 0.665, 0.6317]
    """
    if not 0 <= step < steps:
        raise ValueError(f"step {step} is not one of {steps}")
    if config.schedule == "constant":
        return config.highest_rate
    if config.schedule == "samples_seen":
        factor: float = FIRST_RATE * DECAY ** (samples_seen // DECAY_SAMPLES)
        return config.highest_rate * factor
    rise = min(1.0, (step + 1) / (WARM_UP * steps))
    fall = LAST_RATE + (1 - LAST_RATE) * (1 + math.cos(math.pi * step / steps)) / 2
    return config.highest_rate * rise * fall
