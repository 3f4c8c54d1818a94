"""Who sits at the command line."""

from __future__ import annotations

import getpass


def user_name() -> str:
    """Return the name of whoever runs this, `unknown` where the system does not say."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # No such user in a container that runs under a bare number.
        return "unknown"
