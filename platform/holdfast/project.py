"""One project folder with its stores open."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from holdfast import config as configuration
from holdfast.config import Config
from holdfast.store.images import EmbeddingStore, ImageStore
from holdfast.store.ledger import Ledger
from holdfast.store.snapshots import Snapshots

if TYPE_CHECKING:
    from holdfast.quality.duplicate_search import DuplicateSearch


class Project:
    """A folder with `holdfast.toml`, and everything that was learned in it.

    Attributes
    ----------
    root : Path
        The folder. People's files lie in it: the config, `queries/`, `reports/`.
    state : Path
        `.holdfast/`: the ledger, images, embeddings and models.

    Examples
    --------
    ``with Project.open(Path("holdfast.toml")) as project: ...``
    """

    def __init__(self, root: Path, config: Config) -> None:
        self.root = root
        self.config = config
        self.state = root / ".holdfast"
        self.state.mkdir(exist_ok=True)
        self.ledger = Ledger(config.ledger.url or f"sqlite:///{self.state / 'ledger.db'}")
        self.images = ImageStore(self.state / "samples.lance")
        # Apart from samples, in a folder of their own: no id of the one is one of the other.
        self.synthetic = ImageStore(self.state / "synthetic" / "synthetic.lance")
        self.embeddings = EmbeddingStore(self.state / "embeddings")

    @classmethod
    def open(cls, config_path: Path) -> Self:
        """Open the project of a config file, or of the folder that holds one.

        Raises
        ------
        ConfigError
            If the config cannot be read as one.
        LedgerError
            If the ledger cannot be opened.
        """
        path = config_path.resolve()
        config = configuration.load(path)
        return cls(path if path.is_dir() else path.parent, config)

    @property
    def near_duplicates(self) -> DuplicateSearch:
        """Finds images that look the same, among new ones and those that are here."""
        # Deferred: `holdfast status` opens a project, and needs no search.
        from holdfast.quality.duplicate_search import DuplicateSearch

        return DuplicateSearch(self.ledger, self.images, self.embeddings)

    @property
    def models(self) -> Path:
        """Folder of learner states, each named by the sha256 of its tensors."""
        return self.state / "models"

    @property
    def snapshots(self) -> Snapshots:
        """Where the update that is running puts itself down."""
        return Snapshots(self.state / "update")

    @property
    def web_key(self) -> Path:
        """Key that links to images, and hints, are signed with; made when it is first needed."""
        return self.state / "web.key"

    @property
    def queries(self) -> Path:
        """Folder of files people answer in."""
        return self.root / "queries"

    @property
    def reports(self) -> Path:
        """Folder of reports, one per round."""
        return self.root / "reports"

    def close(self) -> None:
        """Let go of the ledger."""
        self.ledger.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
