import base64
import io
import re

import pytest
from PIL import Image

from holdfast.annotation.contact_sheet import render
from holdfast.annotation.oracle import Card
from holdfast.records import Query

QUERY = Query(round_number=3, batch=1, items=())


def _image(size, kind="PNG"):
    buffer = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(buffer, kind)
    return buffer.getvalue()


def _card(**kwargs):
    return Card(sample_id=1, uid="ab" * 32, reason="uncertain", **kwargs)


def _page(cards, images, names=("cat",)):
    return render(QUERY, cards, images, names, csv_name="round-3.csv")


def test_render_needs_nothing_from_outside():
    page = _page([_card(guess="cat")], [_image((8, 8))])
    assert not re.findall(r"(?:src|href)=\"(?!data:)", page)
    assert "http" not in page


def test_render_shows_number_guess_and_reason_of_every_card():
    cards = [_card(guess="cat", confidence=0.83), _card()]
    page = _page(cards, [_image((8, 8))] * 2)
    assert page.count("<article") == 2
    assert "83%" in page
    assert "No guess yet" in page
    assert all(card.why in page for card in cards)


def test_render_escapes_what_comes_from_data():
    nasty = '<img src=x onerror="1">&'
    page = _page([_card(guess=nasty, label=nasty, source=nasty)], [_image((8, 8))], [nasty])
    assert nasty not in page
    assert "&lt;img src=x" in page


def test_render_keeps_tiny_images_exact_and_shrinks_large_ones():
    page = _page([_card(), _card()], [_image((8, 8)), _image((2000, 1000), "JPEG")])
    tiny, large = (
        Image.open(io.BytesIO(base64.b64decode(data)))
        for data in re.findall(r'src="data:image/\w+;base64,([^"]+)"', page)
    )
    assert (tiny.size, tiny.getpixel((0, 0))) == ((8, 8), (200, 30, 30))
    assert large.size == (320, 160)


def test_render_unreadable_image_is_named_as_missing():
    assert "cannot be shown" in _page([_card()], [b"not an image"])


def test_render_other_number_of_images_is_refused():
    with pytest.raises(ValueError, match="zip"):
        _page([_card()], [])
