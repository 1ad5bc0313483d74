"""Fixtures of the tests of this room."""

from capsim_dagster_tests.support.publication.fixtures import _built, published, root
from capsim_dagster_tests.support.publication.tier2.fixtures import _built_hour, _built_hours, archive, hour, hours
from capsim_dagster_tests.support.s3_servers import aws_environment, bucket, bucket_name, moto_endpoint, s3_endpoint

__all__ = [
    "_built",
    "_built_hour",
    "_built_hours",
    "archive",
    "aws_environment",
    "bucket",
    "bucket_name",
    "hour",
    "hours",
    "moto_endpoint",
    "published",
    "root",
    "s3_endpoint",
]
