-- The file as a view: nothing is copied.
CREATE TEMP VIEW shown AS SELECT * FROM read_parquet('{path}')
