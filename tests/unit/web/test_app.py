from __future__ import annotations

import stat
import subprocess
import sys

HEAVY = ("torch", "lance", "sklearn", "avalanche", "prefect", "label_studio_sdk")
LOOK = """
import sys
import holdfast.web.serving
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_application_starts_without_what_only_guesses_need() -> None:
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()).isdisjoint(HEAVY)


def test_application_keeps_its_key_to_itself(site) -> None:
    path = site.project.state / "web.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_application_answers_no_other_methods(site) -> None:
    for method, path in (("POST", "/images/x"), ("PUT", "/webhook"), ("GET", "/setup")):
        assert site.client.request(method, path).status_code == 405


def test_application_describes_itself_to_nobody(site) -> None:
    for path in ("/", "/images", "/docs", "/openapi.json", "/.holdfast/web.key", "/train"):
        assert site.client.get(path).status_code == 404
