"""Credentials of one bucket that a user has stored on this machine, in a file that only they can read.

They are for that bucket at that endpoint alone, and environment variables win.
"""

import json
import os
import stat
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from capsim_dagster.errors import StorageError
from capsim_dagster.storage.files import atomic_path
from capsim_dagster.storage.place import local_disk

_OWNER_FOLDER: Final = 0o700
_OWNER_FILE: Final = 0o600
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True)
class StoredCredentials:
    """What is stored; keys are left out of its representation.

    Attributes:
        endpoint_url: Its endpoint; empty = AWS.
        region: Its region; empty = as the environment has it.
    """

    bucket: str
    endpoint_url: str
    region: str
    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)


def credentials_path() -> Path:
    """Return where they are stored: capsim/credentials in the user's configuration directory."""
    configured = os.environ.get("XDG_CONFIG_HOME", "")
    root = Path(configured) if Path(configured).is_absolute() else Path.home() / ".config"
    return root / "capsim" / "credentials"


def store_credentials(credentials: StoredCredentials) -> Path:
    """Write them, whole or not at all, for the owner alone; return where.

    Raises:
        StorageError: If the folder cannot be written.
    """
    path = credentials_path()
    with local_disk(path, "written", instead="set XDG_CONFIG_HOME to another folder"):
        path.parent.mkdir(mode=_OWNER_FOLDER, parents=True, exist_ok=True)
        path.parent.chmod(_OWNER_FOLDER)
        with atomic_path(path) as temporary:
            # Before there is anything in it that others could read.
            temporary.chmod(_OWNER_FILE)
            temporary.write_text(json.dumps(asdict(credentials), indent=2), encoding="utf-8")
    return path


def stored_credentials() -> StoredCredentials | None:
    """Return what is stored; None = nothing.

    Raises:
        StorageError: If the file cannot be read, is not what was written, or others may read it.
    """
    path = credentials_path()
    with local_disk(path, "read", instead="set XDG_CONFIG_HOME to another folder"):
        if not path.is_file():
            return None
        if path.stat().st_mode & _OTHERS:
            raise StorageError(
                f"{path} may be read by others", remedy=f"chmod 600 {path}, and renew the key if others have seen it"
            )
        content = path.read_bytes()
    try:
        return StoredCredentials(**json.loads(content))
    except (ValueError, TypeError):
        # The content is not repeated, and nor is the parser's error, which holds it.
        raise StorageError(f"{path} is not what was stored", remedy="store it again: capsim tier3 configure") from None
