-- One row a month and resource that a file, a refusal, the table or rejected_lines knows of.
WITH table_rows AS (
    SELECT (year(ds) * 100 + month(ds))::INTEGER AS yearmonth, resource, count(*) AS rows
    FROM processed_data
    GROUP BY ALL
),
quarantine AS (
    SELECT yearmonth, resource, count(*) AS rows
    FROM rejected_lines
    GROUP BY ALL
)
SELECT
    yearmonth,
    resource,
    coalesce(table_rows.rows, 0) AS table_rows,
    coalesce(quarantine.rows, 0) AS rejected_rows,
    loaded.path,
    loaded.bytes,
    loaded.lines,
    loaded.loaded,
    loaded.rejected,
    loaded.dialect,
    loaded.loaded_at,
    refused.path AS refused_path,
    refused.reason,
    refused.detail,
    refused.refused_at
FROM table_rows
FULL JOIN quarantine USING (yearmonth, resource)
FULL JOIN feed_files AS loaded USING (yearmonth, resource)
FULL JOIN refused_files AS refused USING (yearmonth, resource)
ORDER BY yearmonth, resource
