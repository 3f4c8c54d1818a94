"""`holdfast augment` on a small project."""

import json

import pytest

from holdfast.__main__ import main
from holdfast.data.augment_settings import AugmentationConfig


@pytest.fixture
def project(tiny_project, monkeypatch):
    root = tiny_project()
    monkeypatch.chdir(root)
    return root


def _call(capsys, *argv):
    exit_code = main(["augment", *argv])
    return exit_code, capsys.readouterr()


def test_augment_shows_the_policy_of_the_recipe(project, capsys):
    exit_code, said = _call(capsys)
    assert exit_code == 0
    assert "slight" in said.out
    page = (project / "reports" / "augment.html").read_text()
    assert page.count("<img") == 12 * 6
    assert "http" not in page.replace("http://www.w3.org", "")


@pytest.mark.parametrize("policy", ["geometric+visual", "randaugment", "cutmix", "none"])
def test_augment_tells_what_makes_the_same_images_again(project, capsys, policy):
    out = project / "sheets" / "one.html"
    argv = ["--policy", policy, "--top", "4", "--out", str(out), "--json"]
    first, again = (_call(capsys, *argv)[1].out for _ in range(2))
    data = json.loads(first)
    assert first == again
    assert AugmentationConfig.from_json(json.dumps(data["policy"])).policy == policy
    assert len({one["class"] for one in data["samples"]}) == 3
    assert out.read_text().count("<img") == 4 * 6


def test_augment_says_of_which_classes_a_joined_image_is(project, capsys):
    _call(capsys, "--policy", "mixup", "--out", str(project / "mixed.html"))
    assert "% blue, " in (project / "mixed.html").read_text()


def test_augment_of_rare_classes_only_leaves_the_classes_of_a_balanced_set(project, capsys):
    with (project / "holdfast.toml").open("a") as file:
        file.write('[learning.augmentation]\npolicy = "geometric"\nclasses = "rare_only"\n')
    exit_code, said = _call(capsys)
    assert exit_code == 0
    assert "unchanged  12 images of classes that are not rare" in said.out


def test_augment_by_an_unknown_policy_is_one_line(project, capsys):
    exit_code, said = _call(capsys, "--policy", "fancy")
    assert exit_code == 2
    assert said.err.count("\n") == 1
    assert "names 'fancy'; choose among" in said.err
    assert not (project / "reports" / "augment.html").exists()


def test_augment_without_labels_says_what_to_do(tmp_path, capsys, monkeypatch):
    main(["init", str(tmp_path / "p")])
    monkeypatch.chdir(tmp_path / "p")
    exit_code, said = _call(capsys)
    assert exit_code == 2
    assert "ingest some with labels first" in said.err
