import base64
import io

import numpy as np
import pytest
from PIL import Image

from holdfast.annotation.task_images import THUMBNAIL, LocalFolder, inline


def _image(size, kind="PNG"):
    pixels = np.random.default_rng(0).integers(0, 255, (*size[::-1], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def _opened(uri):
    head, _, data = uri.partition(",")
    return head, Image.open(io.BytesIO(base64.b64decode(data)))


def test_inline_of_a_large_image_is_small_and_keeps_its_shape():
    [uri] = inline([_image((1000, 500))])
    head, image = _opened(uri)
    assert head == "data:image/jpeg;base64"
    assert image.size == (THUMBNAIL, THUMBNAIL // 2)


def test_inline_of_a_tiny_image_keeps_every_pixel():
    data = _image((8, 6))
    head, image = _opened(inline([data])[0])
    assert head == "data:image/png;base64"
    np.testing.assert_array_equal(np.asarray(image), np.asarray(Image.open(io.BytesIO(data))))


def test_inline_of_formats_that_browsers_do_not_show_is_shown():
    head, image = _opened(inline([_image((8, 6), "TIFF")])[0])
    assert (head, image.size) == ("data:image/png;base64", (8, 6))


@pytest.mark.parametrize("data", [b"", b"no image", _image((300, 300), "JPEG")[:900]])
def test_inline_of_a_broken_image_still_makes_a_question(data):
    assert inline([data])[0].startswith("data:image/")


def test_inline_keeps_the_order():
    images = [_image((8, n)) for n in (3, 5, 4)]
    assert [_opened(uri)[1].size[1] for uri in inline(images)] == [3, 5, 4]


def test_local_folder_writes_each_image_once_under_its_uid(tmp_path):
    folder = LocalFolder(tmp_path)
    data = _image((8, 6), "JPEG")
    [link] = folder.put(["ab"], [data])
    assert link == "/data/local-files/?d=holdfast-images/ab.jpeg"
    written = tmp_path / "holdfast-images" / "ab.jpeg"
    assert written.read_bytes() == data
    before = written.stat().st_mtime_ns
    assert folder.put(["ab"], [data]) == [link]
    assert written.stat().st_mtime_ns == before
    assert [one.name for one in written.parent.iterdir()] == ["ab.jpeg"]
