-- As fingerprint.sql, of a relation that holds one month only and without the lowest and highest value: half the cost.
SELECT
    $month::INTEGER AS month,
    resource::VARCHAR AS resource,
    count(*) AS rows,
    count(util) AS reported,
    NULL AS low,
    NULL AS high,
    sum(key) AS key_checksum,
    sum(hash(key, util, capacity)) AS checksum
FROM (SELECT resource, util, capacity, hash(host_id, date) AS key FROM {relation})
GROUP BY ALL
ORDER BY ALL
