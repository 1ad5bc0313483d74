"""What an S3 store's refusal means, and what to do about it.

The client's own texts hold whole requests and answers; of them only status and error code are used, so that nothing
that belongs to the credentials can get into a message.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError
from obstore.exceptions import BaseError

from capsim_dagster.errors import StorageError
from capsim_dagster.storage.connection import Connection

REFUSED: Final = (BaseError, FileNotFoundError, ClientError, BotoCoreError)
"""What the clients raise: of obstore, a missing object or bucket is a FileNotFoundError, all else a BaseError."""
NO_BUCKET: Final = "NoSuchBucket"
NO_OBJECT: Final = "NoSuchKey"
NOT_ALLOWED: Final = "AccessDenied"
"""The credentials are good, but not for this."""
NO_CONDITIONS: Final = "NotImplemented"
"""The answer to If-None-Match or If-Match of a store that does not know them."""
_CLOCK: Final = {"RequestTimeTooSkewed", "RequestExpired"}
EMPTY_OBJECT: Final = "InvalidRange"
"""The answer to a question for the first byte of an object that has none."""

_CODE: Final = re.compile(r"<Code>([A-Za-z]{1,64})</Code>")
_STATUS: Final = re.compile(r"status code: (\d{3})")
_WRONG_CREDENTIALS: Final = {
    "AuthorizationHeaderMalformed",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
}
_REASONS: Final = {
    "dns error": "no such host",
    "ConnectionRefused": "connection refused",
    "kind: Timeout,": "no answer in time",
    "TimedOut": "no answer in time",
    "kind: Connect,": "no connection",
    "Could not connect": "connection refused",
    "next token": "its listing does not end",
    "timeout on endpoint": "no answer in time",
}
"""Signs in the client's text of a store that did not answer."""
_LOST: Final = "the connection is lost"
_ANOTHER_REGION: Final = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}


class Answer(NamedTuple):
    """What the store answered: HTTP status and error code, or nothing."""

    status: str
    code: str


def answer(error: Exception) -> Answer:
    """Return what the store answered; empty strings where it did not."""
    if isinstance(error, ClientError):
        return Answer(str(error.response["ResponseMetadata"]["HTTPStatusCode"]), error.response["Error"]["Code"])
    text = str(error)
    status, code = _STATUS.search(text), _CODE.search(text)
    return Answer(status[1] if status else "", code[1] if code else "")


def is_lost(error: Exception) -> bool:
    """Whether the connection broke after it was made, so that the store may or may not have done what was asked.

    The client repeats by itself what was refused, timed out or answered 429 or 5xx, but no conditional request that
    was lost.
    """
    return not answer(error).status and _reason(error) == _LOST


@contextmanager
def explained(connection: Connection, url: str) -> Iterator[None]:
    """Say in one line what a refusal means.

    Args:
        connection: The bucket and the way to it.
        url: Of the object that is dealt with.

    Raises:
        StorageError: If the store refuses, or does not answer.
    """
    try:
        yield
    except REFUSED as error:
        raise _meaning(error, connection, url) from None


def _meaning(error: Exception, connection: Connection, url: str) -> StorageError:
    found = answer(error)
    if found.code == NO_BUCKET:
        return StorageError(
            f"{connection.where} has no bucket {connection.bucket}",
            remedy="create it, or set storage.bucket_name, storage.endpoint_url or AWS_PROFILE",
        )
    if found.code in _ANOTHER_REGION or found.status == "301":
        return StorageError(
            f"{url}: the bucket is in another region ({found.code or found.status})", remedy="set storage.region to it"
        )
    if found.code in _WRONG_CREDENTIALS or found.status == "401":
        return StorageError(
            f"{connection.where} does not accept the credentials ({found.code or found.status})",
            remedy="renew them, or name others: AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    if found.code in _CLOCK:
        return StorageError(
            f"{connection.where} finds the clock of this machine wrong ({found.code})",
            remedy="set the clock, e.g. by NTP (timedatectl), and run this again; the credentials are not at fault",
        )
    if found.code == NO_CONDITIONS or found.status == "501":
        return StorageError(
            f"{url}: {connection.where} does not know conditional writes (501 {found.code or 'Not Implemented'})",
            remedy="use a store that heeds If-None-Match and If-Match (AWS S3, Cloudflare R2, MinIO), or a local "
            "--data-dir: without them two writers could overwrite each other unseen; nothing was written",
        )
    if found.status == "403":
        return StorageError(
            f"{url}: the credentials are not allowed to do this", remedy="ask for the rights, or name other credentials"
        )
    if found.code == NO_OBJECT or found.status == "404":
        return StorageError(f"no object at {url}", remedy="look what is there, and name one that exists")
    return _unanswered(error, found, connection, url)


def _unanswered(error: Exception, found: Answer, connection: Connection, url: str) -> StorageError:
    """Return the error of a store that could not be asked, or that is not well."""
    untouched = "try again; what was there before is untouched"
    if found.status:
        what = f"{found.status} {found.code}".strip()
        return StorageError(f"{url}: {connection.where} keeps answering {what}", remedy=untouched)
    return StorageError(
        f"{url}: {connection.where} cannot be reached: {_reason(error)}",
        remedy=f"look after network and storage.endpoint_url, and {untouched}",
    )


def _reason(error: Exception) -> str:
    text = str(error)
    return next((reason for sign, reason in _REASONS.items() if sign in text), _LOST)
