import pytest

from holdfast.annotation.label_studio_refusals import reason_in, refusal
from holdfast.errors import ConfigError, TransientError

URL = "http://ls"


@pytest.mark.parametrize("status", [200, 201, 204])
def test_refusal_of_a_good_answer_is_none(status):
    assert refusal(URL, status, "GET /") is None


@pytest.mark.parametrize("status", [404, 408, 409, 425, 429, 500, 502, 503, 504])
def test_refusal_that_may_pass_is_transient(status):
    error = refusal(URL, status, "GET /api/tasks")
    assert isinstance(error, TransientError)
    assert f"answered {status} to GET /api/tasks" in str(error)


@pytest.mark.parametrize("status", [301, 307, 400, 401, 403, 405, 413])
def test_refusal_that_stays_is_for_people(status):
    assert isinstance(refusal(URL, status, "GET /"), ConfigError)


@pytest.mark.parametrize(
    ("detail", "personal", "words"),
    [
        ("legacy token authentication has been disabled for", False, "does not take legacy"),
        ("Invalid token.", False, "refuses the legacy token"),
        ("", True, "refuses the personal access token"),
    ],
)
def test_refused_token_says_which_and_what_to_do(detail, personal, words):
    assert words in str(refusal(URL, 401, "GET /", detail=detail, personal=personal))


def test_refusal_says_when_to_come_back():
    assert "in 7 seconds" in str(refusal(URL, 429, "GET /", retry_after="7"))
    assert "seconds" not in str(refusal(URL, 429, "GET /", retry_after="soon"))


def test_refusals_are_one_line():
    for status in (301, 400, 401, 403, 404, 500):
        assert "\n" not in str(refusal(URL, status, "GET /", detail="a"))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", ""),
        ("<html>", ""),
        ('{"detail": "No\\n such  thing"}', "No such thing"),
        ('{"detail": "x", "validation_errors": {"title": ["short"]}}', '{"title": ["short"]}'),
        ('["too big"]', '["too big"]'),
        ("{}", ""),
    ],
)
def test_reason_in_a_body_is_one_line(body, reason):
    assert reason_in(body) == reason


def test_reason_in_a_long_body_is_cut():
    assert len(reason_in('{"detail": "' + "x" * 1000 + '"}')) == 300
