import pytest

from holdfast.data.offers import from_memory
from holdfast.data.sources import open_source
from holdfast.errors import IngestError


@pytest.fixture
def folder(tmp_path):
    for name in ("cat/1.jpg", "cat/2.jpg", "dog/1.jpg", "loose.jpg", ".hidden", "cat/.DS_Store"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "empty").mkdir()
    (tmp_path / ".git").mkdir()
    return tmp_path


def manifest(folder, text):
    path = folder / "manifest.csv"
    path.write_text(text)
    return path


def offers(source):
    return [(i.name.rpartition("/")[2], i.label, i.group, i.split) for i in source.images()]


def test_folder_of_classes_offers_labels_and_loose_files_without(folder):
    source = open_source(folder)
    assert source.labels == ("cat", "dog")
    assert offers(source) == [
        ("loose.jpg", None, None, ""),
        ("1.jpg", "cat", None, ""),
        ("2.jpg", "cat", None, ""),
        ("1.jpg", "dog", None, ""),
    ]
    assert source.num_images == 4


def test_folder_of_images_offers_them_unlabeled(folder):
    source = open_source(folder / "cat")
    assert source.labels == ()
    assert [label for _, label, _, _ in offers(source)] == [None, None]


def test_source_passes_over_its_images_twice_alike(folder):
    source = open_source(folder)
    assert list(source.images()) == list(source.images())


def test_folder_without_files_raises(tmp_path):
    (tmp_path / "cat").mkdir()
    with pytest.raises(IngestError, match="holds no files; give a folder of images"):
        open_source(tmp_path)


def test_folder_two_levels_deep_raises(folder):
    (folder / "cat" / "young").mkdir()
    with pytest.raises(IngestError, match=r"cat holds folders of its own \(young/\)"):
        open_source(folder)


def test_path_missing_raises(tmp_path):
    with pytest.raises(IngestError, match="does not exist; give a folder"):
        open_source(tmp_path / "nowhere")


def test_path_of_one_image_raises(folder):
    with pytest.raises(IngestError, match="is a single file; give the folder"):
        open_source(folder / "loose.jpg")


def test_manifest_offers_what_its_lines_say(folder):
    path = manifest(
        folder,
        "\ufeffPath,label,group,split,annotator\n"
        "cat/1.jpg, cat ,a,train,ann\n\n"
        "cat/2.jpg,,b,,\n"
        "dog/1.jpg,dog,,holdout,\n",
    )
    source = open_source(path)
    assert offers(source) == [
        ("1.jpg", "cat", "a", "train"),
        ("2.jpg", None, "b", ""),
        ("1.jpg", "dog", None, "holdout"),
    ]
    assert [image.annotator for image in source.images()] == ["ann", None, None]
    assert next(source.images()).read() == b"cat/1.jpg"
    assert source.labels == ("cat", "dog")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,lable\ncat/1.jpg,cat\n", "unknown column 'lable'; did you mean 'label'"),
        ("path,label,weather\n", "unknown column 'weather'; the header is path,label"),
        ("label,group\ncat,a\n", "no column 'path'"),
        ("", "no column 'path'"),
        ("path,label,label\n", "a column twice"),
        ("path,label\n", "names no images"),
        (
            "path,label\ncat/1.jpg,cat\nx.jpg,cat\ny.jpg,dog\n",
            r"line 3: .*x.jpg does not exist \(2 of 3 lines",
        ),
        ("path,label\n,cat\n", "line 2 has an empty path"),
        ("path,label\ncat/1.jpg,a,b\n", "line 2 has 3 cells but the header has 2"),
        ("path,label,split\ncat/1.jpg,cat,test\n", "line 2: split is 'test' but must be train"),
        ("path,label,annotator\ncat/1.jpg,,ann\n", "line 2 names annotator 'ann' but no label"),
        ('path,label\ncat/1.jpg,"a\nb"\n', "class name 'a\\\\nb' is not printable"),
    ],
)
def test_manifest_that_cannot_be_used_says_where_and_what_to_do(folder, text, message):
    with pytest.raises(IngestError, match=message):
        open_source(manifest(folder, text))


def test_manifest_in_another_encoding_raises(folder):
    path = folder / "m.csv"
    path.write_bytes("path,label\ncat/1.jpg,gr\xfcn\n".encode("latin-1"))
    with pytest.raises(IngestError, match="comma-separated UTF-8"):
        open_source(path)


def test_json_lines_offer_what_their_objects_say(folder):
    path = folder / "m.jsonl"
    path.write_text(
        '{"path": "cat/1.jpg", "label": "cat", "group": "a", "annotator": "ann"}\n\n'
        '{"label": 7, "path": "dog/1.jpg", "split": "holdout"}\n{"path": "loose.jpg"}\n'
    )
    source = open_source(path)
    assert offers(source) == [
        ("1.jpg", "cat", "a", ""),
        ("1.jpg", "7", None, "holdout"),
        ("loose.jpg", None, None, ""),
    ]
    assert (source.labels, source.by_name) == (("cat", "7"), True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"path": "cat/1.jpg", "lable": "x"}', "unknown column 'lable'; did you mean 'label'"),
        ('{"label": "x"}', "no column 'path'"),
        ('["cat/1.jpg"]', "line 1 is not an object"),
        ('{"path": "cat/1.jpg", "label": true}', "line 1: label is True but must be a text"),
        ('{"path": "x.jpg"}', "line 1: .*x.jpg does not exist"),
        ('{"path"', "cannot be read as JSON Lines"),
    ],
)
def test_json_lines_that_cannot_be_used_say_where_and_what_to_do(folder, text, message):
    (folder / "m.jsonl").write_text(text)
    with pytest.raises(IngestError, match=message):
        open_source(folder / "m.jsonl")


def test_memory_offers_the_same_as_a_manifest():
    source = from_memory([b"a", b"b"], labels=["cat", None], groups=["g", ""], splits=["train", ""])
    images = list(source.images())
    assert [image.read() for image in images] == [b"a", b"b"]
    assert [(i.label, i.group, i.split) for i in images] == [
        ("cat", "g", "train"),
        (None, None, ""),
    ]


def test_memory_without_images_raises():
    with pytest.raises(IngestError, match="no images were offered"):
        from_memory([])


def test_memory_with_too_few_labels_raises():
    with pytest.raises(ValueError, match="zip"):
        from_memory([b"a", b"b"], labels=["cat"])
