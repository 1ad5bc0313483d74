-- Rows of one month whose utilization is not between 0 and 100 percent (NaN compares above every number) or whose
-- capacity is no amount.
SELECT resource, count(*) AS rows, min(y) AS low, max(y) AS high, min(capacity) AS least, max(capacity) AS most
FROM processed_data
WHERE ds >= $first_day AND ds < $first_day + INTERVAL 1 MONTH 
    AND (NOT y BETWEEN 0 AND 100 OR NOT (capacity >= 0 AND isfinite(capacity)))
GROUP BY ALL
ORDER BY ALL
