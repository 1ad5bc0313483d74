"""S3 servers for the tests of this folder."""

from capsim_dagster_tests.s3_servers import aws_environment, bucket, bucket_name, moto_endpoint, s3_endpoint

__all__ = ["aws_environment", "bucket", "bucket_name", "moto_endpoint", "s3_endpoint"]
