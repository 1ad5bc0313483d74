"""How a bucket is reached: endpoint, region, credentials, how long to try, and what a refusal means.

Credentials come from the environment, else from what is stored for the bucket (`credentials`), else from the rest of
the usual AWS chain (profile, single sign-on, role). They are asked for when the first request needs them; no message or
representation holds them. Of the texts of the store's clients, which hold whole requests and answers, only status and
error code are used.
"""

import datetime as dt
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, PartialCredentialsError, ProfileNotFound
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.exceptions import BaseError
from obstore.store import S3Store

from capsim_dagster.errors import StorageError
from capsim_dagster.storage.credentials import StoredCredentials, stored_credentials

USUAL_PATIENCE: Final = dt.timedelta(seconds=10)
"""How long a request is repeated: an endpoint that cannot be reached fails within 15 seconds, connecting included."""
_CONNECT_TIMEOUT: Final = dt.timedelta(seconds=3)
_SLOWEST_BYTES_PER_SECOND: Final = 2 << 20
"""A line slower than that counts as broken: what bounds the time of a large transfer."""
_MOST_RETRIES: Final = 10
_FIRST_BACKOFF: Final = dt.timedelta(milliseconds=100)
_LONGEST_BACKOFF: Final = dt.timedelta(seconds=2)
_DEFAULT_REGION: Final = "us-east-1"
_ENDPOINT: Final = re.compile(r"https?://[^\s/@?#]+/?")
_TELLING: Final = (ProfileNotFound, PartialCredentialsError)
"""Their text names a profile or a variable; that of other errors may repeat what a helper program said."""
_REMEDY: Final = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE to a profile that has them, or run where a role"
    " gives them, or store them: capsim tier3 configure"
)
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


@dataclass(frozen=True)
class Connection:
    """A bucket and the way to it.

    Attributes:
        endpoint_url: Of a store that is not AWS, as configured; None = AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, what is
            stored for the bucket, else AWS.
        region: As configured; None = AWS_REGION, AWS_DEFAULT_REGION, what is stored, the profile's, else us-east-1.
        patience: How long a request is repeated when the store does not answer, drops it or is busy (429, 5xx).
    """

    bucket: str
    endpoint_url: str | None = None
    region: str | None = None
    patience: dt.timedelta = USUAL_PATIENCE

    def client(self, bytes_to_move: int = 0, *, patience: dt.timedelta | None = None) -> S3Store:
        """Return a client that gives a transfer of some size the time it may need.

        Args:
            bytes_to_move: Size of the transfer.
            patience: In place of the connection's own.

        Raises:
            StorageError: If there are no credentials, or the endpoint of the environment is no address.
        """
        patience = patience or self.patience
        time_limit = patience + dt.timedelta(seconds=bytes_to_move / _SLOWEST_BYTES_PER_SECOND)
        endpoint = self.endpoint
        region, credentials = self._session
        return S3Store(
            self.bucket,
            # obstore reads AWS_ENDPOINT_URL_S3 by itself and prefers it to `endpoint`.
            config={"aws_endpoint_url_s3": endpoint} if endpoint else {},
            region=region,
            credential_provider=credentials,
            virtual_hosted_style_request=False,
            disable_bulk_delete=True,
            client_options={
                "allow_http": bool(endpoint and endpoint.startswith("http://")),
                "connect_timeout": min(_CONNECT_TIMEOUT, patience),
                "timeout": time_limit,
            },
            retry_config={
                "max_retries": _MOST_RETRIES,
                "retry_timeout": time_limit,
                "backoff": {"init_backoff": _FIRST_BACKOFF, "max_backoff": _LONGEST_BACKOFF, "base": 2},
            },
        )

    def pages(self, prefix: str) -> Iterator[dict[str, Any]]:
        """Yield what a listing says of the objects below a prefix, page by page, whatever their keys are.

        obstore refuses a whole listing for one key that is no path, such as `a//b`.

        Raises:
            StorageError: If there are no credentials, or the endpoint of the environment is no address.
            botocore.exceptions.ClientError: If the store refuses; a BotoCoreError if it does not answer.
        """
        region, credentials = self._session
        found = credentials()
        client = boto3.client(
            "s3",
            region_name=region,
            endpoint_url=self.endpoint,
            aws_access_key_id=found["access_key_id"],
            aws_secret_access_key=found["secret_access_key"],
            aws_session_token=found.get("token"),
            config=Config(
                connect_timeout=_CONNECT_TIMEOUT.total_seconds(),
                read_timeout=self.patience.total_seconds(),
                retries={"total_max_attempts": 3, "mode": "standard"},
                s3={"addressing_style": "path"},
            ),
        )
        yield from client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)

    @property
    def endpoint(self) -> str | None:
        """Address of the store; None = AWS.

        Raises:
            StorageError: If the one of the environment is no address, or holds credentials.
        """
        for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
            found = os.environ.get(name) if self.endpoint_url is None else None
            if found and not _ENDPOINT.fullmatch(found):
                raise StorageError(
                    f"{name} is no address of an S3 store, or has credentials in it",
                    remedy="give http:// or https:// with a host and a port, or set storage.endpoint_url",
                )
            if found:
                return found.rstrip("/")
        address = self.endpoint_url or (self._of_bucket.endpoint_url if self._of_bucket else "")
        return address.rstrip("/") or None

    @property
    def where(self) -> str:
        """Name of the store for a message."""
        return self.endpoint or "AWS S3"

    @cached_property
    def _session(self) -> tuple[str, Boto3CredentialProvider]:
        """Region and credentials; the chain asks the machine's metadata service last, for about two seconds."""
        stored = self._stored
        try:
            session = _session_of(stored) if stored and not _environment_names_credentials() else boto3.Session()
            if session.get_credentials() is None:
                raise StorageError(
                    f"no credentials for bucket {self.bucket}: none of the usual places has any", remedy=_REMEDY
                )
            credentials = Boto3CredentialProvider(session)
            credentials()
        except (BotoCoreError, ClientError) as error:
            reason = str(error) if isinstance(error, _TELLING) else type(error).__name__
            raise StorageError(f"no credentials for bucket {self.bucket}: {reason}", remedy=_REMEDY) from None
        region = self.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        return region or (stored.region if stored else "") or session.region_name or _DEFAULT_REGION, credentials

    @cached_property
    def _of_bucket(self) -> StoredCredentials | None:
        """What is stored for a bucket of this name."""
        stored = stored_credentials()
        return stored if stored and stored.bucket == self.bucket else None

    @property
    def _stored(self) -> StoredCredentials | None:
        """What is stored for this bucket at this endpoint: keys of one store are no business of another."""
        stored = self._of_bucket
        return stored if stored and (stored.endpoint_url.rstrip("/") or None) == self.endpoint else None


def _environment_names_credentials() -> bool:
    return bool(os.environ.get("AWS_ACCESS_KEY_ID") or os.environ.get("AWS_PROFILE"))


def _session_of(stored: StoredCredentials) -> boto3.Session:
    return boto3.Session(aws_access_key_id=stored.access_key_id, aws_secret_access_key=stored.secret_access_key)


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
