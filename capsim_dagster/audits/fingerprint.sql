-- One row a month and resource: how many rows, and order-independent checksums over keys and over whole rows.
-- A duplicate in place of a missing row, a changed value, host, date or capacity all change a sum of hashes.
SELECT
    month,
    resource,
    count(*) AS rows,
    count(util) AS reported,
    min(util) AS low,
    max(util) AS high,
    sum(key) AS key_checksum,
    sum(hash(key, util, capacity)) AS checksum
FROM (
    SELECT
        (year(date) * 100 + month(date))::INTEGER AS month,
        resource::VARCHAR AS resource,
        util,
        capacity,
        hash(host_id, date) AS key
    FROM {relation}
)
GROUP BY ALL
ORDER BY ALL
