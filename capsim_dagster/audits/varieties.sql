-- Hosts of each variety that have telemetry, and hosts that the inventory does not know.
SELECT hosts.scenario, hosts.variant, count(*) AS hosts
FROM (SELECT DISTINCT host_id FROM {relation}) AS present
LEFT JOIN hosts USING (host_id)
GROUP BY ALL
ORDER BY ALL
