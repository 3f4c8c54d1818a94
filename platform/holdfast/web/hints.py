"""Label Studio's webhook: a hint that answers may be there, and the thread that follows it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from holdfast.annotation.label_studio_hooks import SECRET_HEADER
from holdfast.errors import HoldfastError
from holdfast.web.replies import is_secret, one_line, refusal

# Hints come in bursts: a person answers every few seconds, an import makes hundreds.
DELAY_SECONDS = 1.0
# A server that does not answer may take a minute to show it.
STOP_SECONDS = 5.0

log = logging.getLogger(__name__)


class Hints:
    """Calls for answers soon after a hint, however many hints there were.

    A hint carries nothing: lost, doubled, reordered or forged ones cost at most one
    look that finds nothing, and whoever polls needs none.

    Parameters
    ----------
    collect : callable
        Takes in what is there. It may fail: the next hint, or the next run, tries again.
    delay : float
        Seconds to wait for further hints, so that one look serves them all.
    """

    def __init__(self, collect: Callable[[], object], delay: float = DELAY_SECONDS) -> None:
        self._collect = collect
        self._delay = delay
        self._hinted = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="hints", daemon=True)

    def start(self) -> None:
        """Begin to follow hints."""
        self._thread.start()

    def stop(self) -> None:
        """Follow no more hints; what is being collected has some seconds to finish.

        After that the process may end: what was not recorded is collected again.
        """
        self._stopped.set()
        self._hinted.set()
        self._thread.join(STOP_SECONDS)

    def take(self) -> None:
        """Note a hint; costs nothing."""
        self._hinted.set()

    def _follow(self) -> None:
        while True:
            self._hinted.wait()
            if self._stopped.wait(self._delay):
                return
            # INVARIANT: cleared before looking: a hint that comes meanwhile gets a look of its
            # own, because what it is about may have been missed.
            self._hinted.clear()
            try:
                self._collect()
            except HoldfastError as error:
                log.warning("answers were not collected now: %s", one_line(error))
            except Exception as error:
                # This thread is all there is: an error nobody foresaw must not end it.
                log.error(
                    "answers were not collected: %s: %s", type(error).__name__, one_line(error)
                )


class HintEndpoint:
    """Answers `POST /webhook`; 401 without the secret."""

    def __init__(self, hints: Hints, secret: str) -> None:
        self._hints = hints
        self._secret = secret

    async def receive(self, request: Request) -> Response:
        """Take the hint without a look at the body, so that no body can delay the answer."""
        if not is_secret(request.headers.get(SECRET_HEADER), self._secret):
            return refusal(401, f"a hint needs the header {SECRET_HEADER} with the shared secret")
        self._hints.take()
        return Response(status_code=204)
