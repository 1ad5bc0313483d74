-- One row a variety of the inventory: hosts there, hosts with rows in the table, and series (host x resource) with rows.
WITH series AS (SELECT DISTINCT host_id, resource FROM processed_data)
SELECT
    hosts.scenario,
    hosts.variant,
    count(DISTINCT hosts.host_id) AS hosts,
    count(DISTINCT series.host_id) AS retained_hosts,
    count(series.host_id) AS retained_series
FROM hosts
LEFT JOIN series USING (host_id)
GROUP BY ALL
ORDER BY ALL
