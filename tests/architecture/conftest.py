"""Pictures of somebody who follows the README."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two kinds of pictures that are easy to tell apart."""
    rng = np.random.default_rng(0)
    for kind, brightness in (("cat", 60), ("dog", 190)):
        folder = tmp_path / "photos" / kind
        folder.mkdir(parents=True)
        for number in range(60):  # enough for the questions of two rounds
            pixels = rng.integers(brightness - 40, brightness + 40, size=(24, 24, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{kind}-{number}.png")
    return tmp_path / "photos"
