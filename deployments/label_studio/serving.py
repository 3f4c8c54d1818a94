"""Label Studio's own process: a migrated database, a first user, then answers until stdin closes.

Runs under the Python of `.label-studio/env`, with nothing of Holdfast in it:
`serving.py migrate FILE` writes an empty, migrated database; `serving.py serve SOCKET` takes
requests on an open socket of the parent, which first writes who the first user is.

Label Studio itself starts Django's development server over SQLite as Django opens it. Of 64
answers sent at once that server drops 27 to 30 unread (its queue of connections holds 10), and
behind a server that takes them all the rest wait 11 to 15 s for each other's locks. So waitress
serves, with a fixed number of threads; readers do not block the writer (WAL); and transactions
take the write lock when they begin, because one that reads before it writes could otherwise not
wait for another's write at all. Measured on two cores: all 64 arrive, within 4 s.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.core.handlers.wsgi import WSGIHandler

NUM_THREADS = 16
LOCK_SECONDS = 60


def set_up() -> WSGIHandler:
    """Load Label Studio, and bring its database up to date."""
    from label_studio import server

    os.environ["DJANGO_SETTINGS_MODULE"] = "label_studio.core.settings.label_studio"
    sys.path.insert(0, server.LS_PATH)
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application

    settings.DATABASES["default"]["OPTIONS"] = {
        "timeout": LOCK_SECONDS,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL",
    }
    application = get_wsgi_application()
    server._apply_database_migrations()
    return application


def migrate(file: Path) -> None:
    """Write a database that has all tables and no rows of anybody's."""
    set_up()
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("VACUUM INTO %s", [str(file)])


def add_first_user(first: dict[str, Any]) -> None:
    """Make sure that the first user is there, with this password and this token."""
    from rest_framework.authtoken.models import Token

    from label_studio import server

    user = server._create_user(
        argparse.Namespace(
            username=first["email"],
            password=first["password"],
            user_token=first["token"],
            quiet_mode=True,
            enable_legacy_api_token=first["legacy_tokens"],
        ),
        {},
    )
    # An older user: it may have been somebody else who chose these.
    if not user.check_password(first["password"]):
        user.set_password(first["password"])
        user.save()
    Token.objects.filter(user=user).update(key=first["token"])


def follow_parent() -> None:
    """End with the parent, however it went: its end of the pipe closes with it."""
    sys.stdin.buffer.read()
    # What is committed is on the disk; a request that is cut off was not answered.
    os._exit(0)


def serve(descriptor: int) -> None:
    """Answer requests on an open socket."""
    first = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=follow_parent, daemon=True).start()
    application = set_up()
    add_first_user(first)

    import waitress

    # Requests that wait for a thread are no news.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    waitress.serve(
        application,
        sockets=[socket.socket(fileno=descriptor)],
        threads=NUM_THREADS,
        connection_limit=1000,
        asyncore_use_poll=True,
        clear_untrusted_proxy_headers=True,
        ident=None,
    )


if __name__ == "__main__":
    verb, argument = sys.argv[1:]
    if verb == "migrate":
        migrate(Path(argument))
    else:
        serve(int(argument))
