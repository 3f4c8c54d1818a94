"""Ways of resampling, by the names that recipes use."""

from __future__ import annotations

from typing import Literal, get_args

ResamplingName = Literal["random_over", "smote", "adasyn", "smote_enn", "random_under"]
RESAMPLINGS: tuple[str, ...] = get_args(ResamplingName)
