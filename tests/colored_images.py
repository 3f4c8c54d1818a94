"""Small images of a few colors, some of them labeled, with the truth about all."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

COLORS = {"blue": (30, 60, 200), "green": (40, 180, 60), "red": (200, 40, 40)}


def write_images(root: Path, num_labeled: Mapping[str, int], num_unlabeled: int) -> None:
    """Write `images/labeled/COLOR`, `images/unlabeled` and `truth.csv` below a folder."""
    rng, truth = np.random.default_rng(0), []
    for name, color in COLORS.items():
        for number in range(num_labeled[name] + num_unlabeled):
            kind = f"labeled/{name}" if number < num_labeled[name] else "unlabeled"
            path = root / "images" / kind / f"{name}-{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.asarray(color) + rng.integers(-30, 30, size=(8, 8, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(path)
            truth.append((hashlib.sha256(path.read_bytes()).hexdigest(), name))
    with (root / "truth.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("uid", "label"), *truth])
