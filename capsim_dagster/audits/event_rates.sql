-- Values, missing values, and values on days that an anomaly covers.
WITH
anomalous AS (
    SELECT DISTINCT host_id, resource, date FROM truth_event_days WHERE kind IN (SELECT unnest($anomalies)) AND date <= $last
),
missing AS (SELECT host_id, resource::VARCHAR AS resource, date FROM master_rows WHERE util IS NULL)
SELECT
    (SELECT count(*) FROM master_rows) AS rows,
    (SELECT count(*) FROM missing) AS missing,
    (SELECT count(*) FROM anomalous ANTI JOIN missing USING (host_id, resource, date)) AS anomalous
