-- As fingerprint.sql, of a relation that holds one month of one resource only: nothing is grouped.
SELECT
    count(*) AS rows,
    count(util) AS reported,
    coalesce(sum(key), 0) AS key_checksum,
    coalesce(sum(hash(key, util, capacity)), 0) AS checksum
FROM (SELECT util, capacity, hash(host_id::VARCHAR, date) AS key FROM {relation})
