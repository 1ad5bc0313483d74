-- Days that a gap event covers but that have a value, and days without a value that no gap event covers.
WITH
labelled AS (
    SELECT DISTINCT host_id, resource, date FROM truth_event_days WHERE kind IN (SELECT unnest($gaps)) AND date <= $last
),
missing AS (SELECT host_id, resource::VARCHAR AS resource, date FROM master_rows WHERE util IS NULL)
SELECT host_id, resource, date, labelled.date IS NULL AS is_unlabelled
FROM labelled FULL JOIN missing USING (host_id, resource, date)
WHERE labelled.date IS NULL OR missing.date IS NULL
ORDER BY ALL
