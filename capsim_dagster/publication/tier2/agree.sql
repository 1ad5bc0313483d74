-- Rows in which hours differ from the samples of their day, by a full join of what both come to.
-- Parameters: $daily the file of the day, $hourly the files of the hours, $hours their hours, $rounding of means; names of resources are put in.
WITH samples AS (
    SELECT hour, host_id, resource, utilization
    FROM (
        SELECT archive_hour::INTEGER AS hour, host_id, {resources}
        FROM read_parquet($daily)
        WHERE archive_hour IN (SELECT unnest($hours))
    )
    UNPIVOT INCLUDE NULLS (utilization FOR resource IN ({resources}))
),
expected AS (
    SELECT
        hour, host_id, resource, fsum(utilization) / nullif(count(utilization), 0) AS mean,
        quantile_disc(utilization, 0.50) AS p50, quantile_disc(utilization, 0.95) AS p95, max(utilization) AS max,
        count(utilization) AS samples
    FROM samples
    GROUP BY hour, host_id, resource
),
found AS (
    SELECT
        ((epoch_us(ts) // 3600000000) % 24)::INTEGER AS hour, host_id, resource, mean, p50, p95, max,
        samples::BIGINT AS samples
    FROM read_parquet($hourly)
)
SELECT
    hour, host_id, resource,
    expected.mean AS mean_expected, found.mean AS mean_found, expected.p50 AS p50_expected, found.p50 AS p50_found,
    expected.p95 AS p95_expected, found.p95 AS p95_found, expected.max AS max_expected, found.max AS max_found,
    expected.samples AS samples_expected, found.samples AS samples_found
FROM expected FULL JOIN found USING (hour, host_id, resource)
WHERE
    expected.samples IS DISTINCT FROM found.samples
    OR expected.p50 IS DISTINCT FROM found.p50
    OR expected.p95 IS DISTINCT FROM found.p95
    OR expected.max IS DISTINCT FROM found.max
    OR (expected.mean IS NULL) <> (found.mean IS NULL)
    OR abs(expected.mean - found.mean) > $rounding
ORDER BY hour, host_id, resource
