-- One row a month and resource that a file, a refusal or rejected_lines knows of, of one month or of all: how many lines
-- of it are rejected, what is recorded of its file, and of the one that was refused.
WITH quarantine AS (
    SELECT yearmonth, resource, count(*) AS rows
    FROM rejected_lines
    WHERE coalesce($month = yearmonth, true)
    GROUP BY ALL
)
SELECT
    yearmonth,
    resource,
    coalesce(quarantine.rows, 0) AS rejected_rows,
    loaded.path,
    loaded.bytes,
    loaded.sha256,
    loaded.lines,
    loaded.loaded,
    loaded.rejected,
    loaded.checksum,
    loaded.dialect,
    loaded.rules,
    loaded.loaded_at,
    refused.path AS refused_path,
    refused.reason,
    refused.detail,
    refused.refused_at
FROM quarantine
FULL JOIN feed_files AS loaded USING (yearmonth, resource)
FULL JOIN refused_files AS refused USING (yearmonth, resource)
WHERE coalesce($month = yearmonth, true)
