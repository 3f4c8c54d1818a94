"""The champion's guesses for annotators, as Label Studio asks an ML backend for them."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from holdfast.annotation.label_studio_hooks import GUESS_USER
from holdfast.annotation.labeling_interface import LabelingInterface, read_interface
from holdfast.errors import ConfigError
from holdfast.phases.guesses import Guess, Guesser
from holdfast.web.replies import is_secret, refusal

# Label Studio asks about all selected tasks at once, with all their data.
MAX_BODY_BYTES = 64 * 2**20

log = logging.getLogger(__name__)


class GuessEndpoints:
    """Answers `/health`, and to who has the password `/setup`, `/predict` and `/versions`.

    Parameters
    ----------
    guesser : Guesser
    password : str
        Of the user `holdfast`, by HTTP basic authentication.
    """

    def __init__(self, guesser: Guesser, password: str) -> None:
        self._guesser = guesser
        pair = f"{GUESS_USER}:{password}".encode()
        self._authorization = f"Basic {base64.b64encode(pair).decode()}"
        # One thread: guesses queue up here and leave the other threads to the images.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="guess")

    def close(self) -> None:
        """Make no more guesses; the one that is being made goes on, for nobody."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def health(self, _: Request) -> Response:
        """Say that guesses can be asked for."""
        return JSONResponse({"status": "UP", "model_class": "Holdfast"})

    async def setup(self, request: Request) -> Response:
        """Return the name of the champion, empty before the first.

        INVARIANT: the body is not read: it holds a token of somebody's, which is then
        neither stored nor logged.
        """
        if not self._may(request):
            return _denied()
        return JSONResponse({"model_version": await self._champion()})

    async def versions(self, request: Request) -> Response:
        """Return the name of the champion as the only version there is to ask."""
        if not self._may(request):
            return _denied()
        champion = await self._champion()
        return JSONResponse({"versions": [champion] if champion else []})

    async def predict(self, request: Request) -> Response:
        """Return the guesses for some tasks, in their order; none for those unknown."""
        if not self._may(request):
            return _denied()
        body = await _read(request)
        if body is None:
            return refusal(413, f"expected at most {MAX_BODY_BYTES:,} bytes; ask for fewer tasks")
        try:
            asked = json.loads(body)
            uids = [_uid(task) for task in asked["tasks"]]
            interface = read_interface(str(asked["label_config"]))
        except ConfigError as error:
            return refusal(400, str(error))
        except (ValueError, KeyError, TypeError, AttributeError):
            return refusal(400, "expected a JSON object with tasks and label_config")
        started = time.perf_counter()
        known = [uid for uid in uids if uid]
        guesses = await asyncio.get_running_loop().run_in_executor(
            self._thread, self._guesser.guess, known
        )
        log.info(
            "guessed %d of %d tasks in %.1f s",
            len(guesses),
            len(uids),
            time.perf_counter() - started,
        )
        return JSONResponse({"results": results(uids, guesses, interface)})

    async def _champion(self) -> str:
        return await run_in_threadpool(self._guesser.champion) or ""

    def _may(self, request: Request) -> bool:
        return is_secret(request.headers.get("Authorization"), self._authorization)


def results(
    uids: Sequence[str], guesses: Mapping[str, Guess], interface: LabelingInterface
) -> list[dict[str, Any] | list[Any]]:
    """Return one entry per uid, as Label Studio reads them; an empty list for no guess.

    A guess that the labeling interface does not offer is left out: Label Studio would
    refuse the whole answer for it.
    """
    found: list[dict[str, Any] | list[Any]] = []
    for uid in uids:
        guess = guesses.get(uid)
        if guess is None or guess.class_name not in interface.choices:
            found.append([])
            continue
        found.append(
            {
                "result": [
                    {
                        "from_name": interface.control,
                        "to_name": interface.image,
                        "type": "choices",
                        "value": {"choices": [guess.class_name]},
                    }
                ],
                "score": guess.probability,
                "model_version": guess.model,
            }
        )
    return found


def _uid(task: Mapping[str, Any]) -> str:
    uid = task["data"].get("uid")
    return uid if isinstance(uid, str) else ""


async def _read(request: Request) -> bytes | None:
    """Return the body, None when it is too large."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            return None
    return bytes(body)


def _denied() -> Response:
    reason = "guesses need the user and password that `holdfast label-studio` sets"
    return refusal(401, reason, {"WWW-Authenticate": 'Basic realm="holdfast"'})
