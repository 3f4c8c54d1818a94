"""The page of an audit shows what it is given, and nothing that was given runs."""

import io

from PIL import Image

from holdfast.evaluation.audit_page import AuditCard, AuditPage, Gallery, Table, render

NASTY = """<script>alert("1")</script> & 'co' $x_1$ ${y}"""


def picture():
    file = io.BytesIO()
    Image.new("RGB", (9, 9), "red").save(file, "PNG")
    return file.getvalue()


def page(**changes):
    card = AuditCard(image=picture(), source=NASTY, given=NASTY, suggested="dog", notes=(NASTY,))
    return AuditPage(
        title=NASTY,
        made_at="today",
        errors=(NASTY,),
        tiles=((NASTY, "1", NASTY),),
        tables=(Table(title=NASTY, lead=NASTY, head=[NASTY, "n"], rows=[[NASTY, "1"]]),),
        galleries=(Gallery(title=NASTY, lead=NASTY, cards=(card,), total=7),),
        **changes,
    )


def test_page_escapes_every_text():
    text = render(page())
    assert "<script" not in text
    assert text.count("alert(&quot;1&quot;)") >= 10
    assert "${y}" in text


def test_page_stands_alone_and_is_the_same_each_time():
    text = render(page())
    assert "http" not in text
    assert text.count("data:image/png;base64,") == 1
    assert render(page()) == text


def test_card_shows_a_change_only_where_another_class_is_proposed():
    card = AuditCard(image=b"no image", source="a.png", given="cat", suggested="cat")
    gallery = Gallery(title="t", lead="", cards=(card,), total=1)
    text = render(AuditPage(title="t", made_at="", galleries=(gallery,)))
    assert "<del>" not in text
    assert "cat" in text
    assert "no picture" in text


def test_gallery_says_how_many_are_not_shown():
    assert "1 of 7 are shown" in render(page())


def test_empty_page_says_that_nothing_was_found():
    gallery = Gallery(title="Suspects", lead="", cards=(), total=0)
    table = Table(title="Pairs", lead="", head=["a"], rows=[], nothing="No pair.")
    text = render(AuditPage(title="t", made_at="", tables=(table,), galleries=(gallery,)))
    assert "None found." in text
    assert "No pair." in text
    assert "To put right first" not in text
