"""Data sets of torchvision and Avalanche, taken in as a person does it in a terminal."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from holdfast.__main__ import main

MODULE = """
from torchvision.datasets import MNIST

def halves(root):
    from avalanche.benchmarks.utils import as_classification_dataset
    whole = as_classification_dataset(MNIST(root))
    return whole.subset(range(0, len(whole), 2))

def normalized(root):
    from torchvision.transforms import Compose, Normalize, ToTensor
    return MNIST(root, transform=Compose([ToTensor(), Normalize(0.1, 0.3)]))
"""


def write_idx(path: Path, array: np.ndarray[Any, Any]) -> None:
    header = struct.pack(f">{1 + array.ndim}I", 0x800 | array.ndim, *array.shape)
    path.write_bytes(header + array.tobytes())


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project beside digits in MNIST's form on disk, class folders, and a module."""
    digits = load_digits()
    images = (digits.images * 15).astype(np.uint8)[:200]
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, rows in (("train", slice(0, 150)), ("t10k", slice(150, 200))):
        write_idx(raw / f"{part}-images-idx3-ubyte", images[rows])
        write_idx(raw / f"{part}-labels-idx1-ubyte", digits.target[:200][rows].astype(np.uint8))
    for number, (image, label) in enumerate(zip(images[:12], digits.target, strict=False)):
        folder = tmp_path / "photos" / ("odd" if label % 2 else "even")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{number}.png")
    (tmp_path / "sets_of_mine.py").write_text(MODULE)
    (tmp_path / "holdfast.toml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def ingest(here: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    def call(*argv: str) -> Any:
        code = main(["ingest", *argv, "--config", str(here), "--json"])
        said = capsys.readouterr()
        return json.loads(said.out) if code == 0 else (code, said.err)

    return call


def test_datasets_of_torchvision_come_in_once(ingest: Callable[..., Any]) -> None:
    name = ("torchvision.datasets:MNIST", "--with", "root=data")
    dry = ingest(*name, "--dry-run")
    assert (dry["dry_run"], dry["num_added"], dry["num_labeled"]) == (True, 150, 150)
    done = ingest(*name)
    assert (done["num_added"], len(done["classes_added"])) == (150, 10)
    again = ingest(*name)
    assert (again["num_added"], again["num_known"], again["num_labeled"]) == (0, 150, 0)
    assert ingest(*name, "--with", "train=false")["num_added"] == 50
    fake = ("--with", "size=6", "--with", "image_size=[3, 8, 8]", "--with", "num_classes=2")
    assert ingest("torchvision.datasets:FakeData", *fake)["num_added"] == 6
    folder = ingest("torchvision.datasets:ImageFolder", "--with", "root=photos")
    assert (folder["num_added"], folder["classes_added"]) == (12, ["even", "odd"])


# Avalanche imports what is deprecated; here it is imported as a user's module does.
@pytest.mark.filterwarnings("ignore")
def test_dataset_of_avalanche_made_by_a_function_here_comes_in(ingest: Callable[..., Any]) -> None:
    done = ingest("sets_of_mine:halves", "--with", "root=data")
    assert (done["num_added"], done["classes_added"]) == (75, [str(k) for k in range(10)])


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["torchvision.datasets:MNST"], "did you mean MNIST"),
        (["torchvision.datasets:MNIST"], "missing a required argument: 'root'; it takes (root, "),
        (["torchvision.datasets:CIFAR10", "--with", "root=no"], "failed with RuntimeError: "),
        (["sets_of_mine:normalized", "--with", "root=data"], "leave out what normalizes images"),
        (["sets_of_mine:halves", "--with", "root"], "is no NAME=VALUE"),
        (["sets_of_mine:halves", "--reference"], "--reference has no effect"),
        (["photos", "--with", "root=data"], "--with root=data has no effect with photos"),
        (["label-studio", "--project", "1", "--with", "a=1"], "--with has no effect"),
    ],
)
def test_what_cannot_come_in_is_said_on_one_line(
    ingest: Callable[..., Any], argv: list[str], message: str
) -> None:
    code, said = ingest(*argv)
    assert code == 2
    assert message in said
    assert said.count("\n") == 1
