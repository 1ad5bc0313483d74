-- What a column of numbers holds; NaN counts as missing.
SELECT
    100.0 * count(*) FILTER (WHERE value IS NULL) / greatest(count(*), 1) AS missing_percent,
    avg(value) AS mean,
    min(value) AS low,
    max(value) AS high
FROM (SELECT CASE WHEN NOT isnan({column}::DOUBLE) THEN {column}::DOUBLE END AS value FROM shown)
