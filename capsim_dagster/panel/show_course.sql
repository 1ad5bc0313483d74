-- The mean of a column of numbers over all servers, in equal stretches of the time between first and last day.
SELECT
    least(floor((epoch({day}::TIMESTAMP) - start) / greatest(span, 1) * $points)::INTEGER, $points - 1) AS point,
    avg({column}::DOUBLE) AS mean
FROM
    shown,
    (
        SELECT
            epoch(min({day})::TIMESTAMP) AS start,
            epoch(max({day})::TIMESTAMP) - epoch(min({day})::TIMESTAMP) AS span
        FROM shown
    )
WHERE {column} IS NOT NULL AND NOT isnan({column}::DOUBLE)
GROUP BY ALL
ORDER BY ALL
