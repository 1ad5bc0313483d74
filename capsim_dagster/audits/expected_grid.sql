-- What each month must hold of each resource: every host on every day.
SELECT
    (year(days.date) * 100 + month(days.date))::INTEGER AS month,
    count(*) AS rows,
    sum(hash(hosts.host_id, days.date)) AS key_checksum
FROM hosts CROSS JOIN time_periods AS days
GROUP BY ALL
ORDER BY ALL
