"""A place to ingest into: a ledger and images without a project around them."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from holdfast.store.images import ImageStore
from holdfast.store.ledger import Ledger
from tests.ingest_target import Settings, Target


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    state = tmp_path / "state"
    ledger = Ledger(f"sqlite:///{state / 'ledger.db'}")
    yield Target(ledger, ImageStore(state / "samples.lance"), Settings())
    ledger.close()


def make_pixels(seed: int, shape: tuple[int, ...] = (8, 8)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def make_png(seed: int) -> bytes:
    buffer = BytesIO()
    Image.fromarray(make_pixels(seed)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def png():
    """Bytes of a small image that differs for every seed."""
    return make_png


@pytest.fixture
def pixels():
    """Pixels of an image that differ for every seed."""
    return make_pixels
