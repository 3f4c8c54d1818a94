"""Images as a dataset that stock Avalanche strategies train on, and Avalanche kept quiet.

Shape suffixes: n samples.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.utils.data import TensorDataset

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Avalanche's imports warn about what it will drop
    from avalanche.benchmarks.utils import DataAttribute, TaskAwareSupervisedClassificationDataset
    from avalanche.benchmarks.utils.flat_data import ConstantSequence


def stock_dataset(images_nchw: Tensor, targets_n: Tensor) -> Any:
    """Return samples of one task as Avalanche's own benchmarks hold them."""
    return TaskAwareSupervisedClassificationDataset(
        [TensorDataset(images_nchw, targets_n)],
        data_attributes=[
            DataAttribute(targets_n.tolist(), "targets"),
            DataAttribute(
                ConstantSequence(0, len(targets_n)), "targets_task_labels", use_in_getitem=True
            ),
        ],
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Avalanche's deprecations and its missing loggers from the screen."""
    # Recorded, not ignored: Avalanche lifts the filter to announce its deprecations.
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        yield
