"""What an ingest needs, without a project around it."""

from __future__ import annotations

from dataclasses import dataclass, field

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
