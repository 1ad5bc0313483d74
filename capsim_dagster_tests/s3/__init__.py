"""What speaks to an S3 server: moto, or the one of S3_TEST_ENDPOINT."""
