-- As fingerprint.sql, of a relation that holds one month only: half the cost, as no row's month is worked out.
SELECT
    $month::INTEGER AS month,
    resource::VARCHAR AS resource,
    count(*) AS rows,
    count(util) AS reported,
    min(util) AS low,
    max(util) AS high,
    sum(key) AS key_checksum,
    sum(hash(key, util, capacity)) AS checksum
FROM (SELECT resource, util, capacity, hash(host_id, date) AS key FROM {relation})
GROUP BY ALL
ORDER BY ALL
