"""S3 servers for the tests of this tier."""

from capsim_dagster_tests.support.s3_servers import aws_environment, bucket, bucket_name, moto_endpoint, s3_endpoint

__all__ = ["aws_environment", "bucket", "bucket_name", "moto_endpoint", "s3_endpoint"]
