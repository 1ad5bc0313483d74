-- First day on which each of some series reaches the threshold, in days since the window's start.
SELECT host_id, resource::VARCHAR AS resource, date_diff('day', $start::DATE, min(date)) AS first_day
FROM {relation}
WHERE util >= $threshold AND host_id IN (SELECT unnest($hosts))
GROUP BY ALL
