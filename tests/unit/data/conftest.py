"""A place to ingest into: a ledger and images without a project around them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from holdfast.data.splits import DataConfig
from holdfast.quality.duplicate_search import DuplicateSearch
from holdfast.store.images import EmbeddingStore, ImageStore
from holdfast.store.ledger import Ledger


@dataclass(frozen=True)
class Settings:
    data: DataConfig = field(default_factory=DataConfig)
    seed: int = 0


@dataclass(frozen=True)
class Target:
    ledger: Ledger
    images: ImageStore
    config: Settings

    @property
    def near_duplicates(self) -> DuplicateSearch:
        embeddings = EmbeddingStore(self.images.path.parent / "embeddings")
        return DuplicateSearch(self.ledger, self.images, embeddings)


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
