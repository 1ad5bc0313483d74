"""Whose a run of the terminal is: by its origin the UI lists it under its job, and can launch it again."""

import re
import sys
from typing import Final

from capsim_dagster.orchestration import dagster_private as private
from capsim_dagster.orchestration.instance import LOCATION, MODULE

COMMAND_TAG: Final = "capsim/command"
"""Tag of a run: the command line that it is of."""
_URL_PASSWORD: Final = re.compile(r"://[^/\s@']*@")
_URL_SIGNATURE: Final = re.compile(r"(://[^\s?'#]*\?)[^\s'#]+")
_LONGEST: Final = 500
"""A tag is read in a list of runs; a command with a hundred days is none the clearer for all of them."""


def origin_of(job: str) -> private.RemoteJobOrigin:
    """Return the origin that a job has in the UI's code location."""
    module = private.LoadableTargetOrigin(executable_path=sys.executable, module_name=MODULE)
    location = private.ManagedGrpcPythonEnvCodeLocationOrigin(module, LOCATION)
    return private.RemoteRepositoryOrigin(location, private.SINGLETON_REPOSITORY_NAME).get_job_origin(job)


def without_secrets(text: str) -> str:
    """Return a text without user and password of its URLs, and without their queries: they may be signatures.

    >>> without_secrets("capsim panel load --input s3://key:secret@bucket/a.parquet?X-Amz-Signature=12 --strict")
    'capsim panel load --input s3://…@bucket/a.parquet?… --strict'
    """
    return _URL_SIGNATURE.sub(r"\1…", _URL_PASSWORD.sub("://…@", text))


def command_tag(command: str) -> dict[str, str]:
    """Return the tag that says which command a run is of."""
    shown = without_secrets(command)
    return {COMMAND_TAG: shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"}
