-- Hosts that the inventory does not know, with their rows.
SELECT rows.host_id, count(*) AS rows
FROM {relation} AS rows ANTI JOIN hosts USING (host_id)
GROUP BY ALL
ORDER BY ALL
