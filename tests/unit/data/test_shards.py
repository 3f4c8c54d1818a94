import io
import json
import tarfile

import pytest

from holdfast.data.sources import open_source
from holdfast.errors import IngestError


def pack(path, files):
    mode = "w:gz" if path.suffix in (".gz", ".tgz") else "w"
    with tarfile.open(path, mode) as archive:
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def offers(source):
    return [(i.name.rpartition("#")[2], i.label, i.group, i.payload) for i in source.images()]


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tgz"])
def test_tar_of_class_folders_offers_them(tmp_path, name):
    files = [("cat/1.jpg", b"one"), ("dog/2.jpg", b"two"), ("3.jpg", b"three"), (".x", b"")]
    source = open_source(pack(tmp_path / name, files))
    assert (source.num_images, source.labels) == (3, ("cat", "dog"))
    assert offers(source) == [
        ("cat/1.jpg", "cat", None, b"one"),
        ("dog/2.jpg", "dog", None, b"two"),
        ("3.jpg", None, None, b"three"),
    ]


def test_webdataset_shards_offer_what_lies_beside_each_image(tmp_path):
    (tmp_path / "in").mkdir()
    notes = json.dumps({"label": 2, "group": "g", "split": "train", "other": [1]}).encode()
    pack(tmp_path / "in" / "0.tar", [("a.cls", b"10\n"), ("a.jpg", b"A"), ("b.png", b"B")])
    pack(tmp_path / "in" / "1.tar", [("c.jpg", b"C"), ("c.json", notes), ("c.txt", b"caption")])
    source = open_source(tmp_path / "in")
    assert (source.num_images, source.labels) == (3, ("2", "10"))
    assert offers(source) == [
        ("a.jpg", "10", None, b"A"),
        ("b.png", None, None, b"B"),
        ("c.jpg", "2", "g", b"C"),
    ]
    assert [one.split for one in source.images()] == ["", "", "train"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([("a.cls", b"1"), ("b.jpg", b"B")], "a label for a but no image beside it"),
        ([("a.jpg", b"A"), ("a.json", b"{")], "a.json cannot be read"),
        ([], "holds no files"),
    ],
)
def test_tar_that_cannot_be_used_says_what_to_do(tmp_path, files, message):
    with pytest.raises(IngestError, match=message):
        open_source(pack(tmp_path / "a.tar", files))


def test_tar_cut_off_raises(tmp_path):
    path = pack(tmp_path / "a.tar", [("a.jpg", b"x" * 5000), ("b.jpg", b"y" * 5000)])
    path.write_bytes(path.read_bytes()[:7000])
    with pytest.raises(IngestError, match="cannot be read to its end as a tar file"):
        open_source(path)
