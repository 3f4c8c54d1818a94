import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from holdfast.data.sources import open_source
from holdfast.errors import IngestError

CAT_DOG = {"info": {"features": {"label": {"names": ["dog", "cat"], "_type": "ClassLabel"}}}}


def table(columns, notes=None):
    made = pa.table(columns)
    return made.replace_schema_metadata({"huggingface": json.dumps(notes)}) if notes else made


def said(source):
    return [(i.payload, i.label) for i in source.images()]


def test_parquet_with_images_offers_bytes_and_named_classes(tmp_path):
    images = [{"bytes": b"A", "path": None}, {"bytes": b"B", "path": "b.jpg"}, {"bytes": None}]
    written = table({"image": images, "label": [1, 0, -1]}, CAT_DOG)
    pq.write_table(written, tmp_path / "a.parquet")
    source = open_source(tmp_path / "a.parquet")
    assert (source.num_images, source.labels, source.by_name) == (3, ("dog", "cat"), False)
    assert said(source) == [(b"A", "cat"), (b"B", "dog"), (b"", None)]


def test_folder_of_parquet_files_is_one_source(tmp_path):
    for number in range(2):
        rows = {"bytes": [b"A%d" % number], "label": ["x"], "group": ["g"], "annotator": ["ann"]}
        pq.write_table(table(rows), tmp_path / f"{number}.parquet")
    source = open_source(tmp_path)
    assert said(source) == [(b"A0", "x"), (b"A1", "x")]
    assert {(one.group, one.annotator) for one in source.images()} == {("g", "ann")}


def test_parquet_manifest_offers_the_files_it_names(tmp_path):
    (tmp_path / "1.jpg").write_bytes(b"one")
    pq.write_table(table({"path": ["1.jpg"], "label": [3]}), tmp_path / "m.parquet")
    source = open_source(tmp_path / "m.parquet")
    assert source.by_name
    assert [(one.read(), one.label) for one in source.images()] == [(b"one", "3")]


def test_parquet_that_is_none_raises(tmp_path):
    (tmp_path / "m.parquet").write_bytes(b"hello")
    with pytest.raises(IngestError, match="cannot be read as a table"):
        open_source(tmp_path / "m.parquet")


def test_parquet_label_beyond_its_names_raises(tmp_path):
    pq.write_table(table({"image": [b"A"], "label": [2]}, CAT_DOG), tmp_path / "a.parquet")
    with pytest.raises(IngestError, match="label 2 but there are 2 class names"):
        open_source(tmp_path / "a.parquet")


def save(folder, rows):
    """Write what `datasets.Dataset.save_to_disk` writes."""
    folder.mkdir(parents=True)
    made = table(rows, CAT_DOG)
    file = str(folder / "data-0.arrow")
    with pa.OSFile(file, "wb") as sink, pa.ipc.new_stream(sink, made.schema) as stream:
        stream.write_table(made)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-0.arrow"}]}))
    (folder / "dataset_info.json").write_text("{}")


def test_hugging_face_folder_offers_all_its_splits(tmp_path):
    save(tmp_path / "train", {"image": [b"A", b"B"], "label": [0, 1]})
    save(tmp_path / "test", {"image": [b"C"], "label": [1]})
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    assert said(open_source(tmp_path)) == [(b"A", "dog"), (b"B", "cat"), (b"C", "cat")]


@pytest.mark.slow
def test_hugging_face_itself_writes_what_is_read(tmp_path, png):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["dog", "cat"])}
    )
    rows = {"image": [{"bytes": png(n), "path": None} for n in range(3)], "label": [0, 1, 0]}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "set")
    assert said(open_source(tmp_path / "set")) == [
        (png(0), "dog"),
        (png(1), "cat"),
        (png(2), "dog"),
    ]
