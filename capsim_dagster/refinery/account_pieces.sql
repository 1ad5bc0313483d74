-- One row a month and resource that a file, a refusal, the table or rejected_lines knows of.
WITH fingerprints AS (
{fingerprints}
),
held AS (
    SELECT month AS yearmonth, resource, rows, checksum FROM fingerprints
),
quarantine AS (
    SELECT yearmonth, resource, count(*) AS rows
    FROM rejected_lines
    GROUP BY ALL
)
SELECT
    yearmonth,
    resource,
    coalesce(held.rows, 0) AS table_rows,
    coalesce(quarantine.rows, 0) AS rejected_rows,
    coalesce(held.checksum, 0) AS table_checksum,
    loaded.path,
    loaded.bytes,
    loaded.lines,
    loaded.loaded,
    loaded.rejected,
    loaded.dialect,
    loaded.loaded_at,
    loaded.sha256,
    loaded.checksum,
    refused.path AS refused_path,
    refused.reason,
    refused.detail,
    refused.refused_at
FROM held
FULL JOIN quarantine USING (yearmonth, resource)
FULL JOIN feed_files AS loaded USING (yearmonth, resource)
FULL JOIN refused_files AS refused USING (yearmonth, resource)
ORDER BY yearmonth, resource
