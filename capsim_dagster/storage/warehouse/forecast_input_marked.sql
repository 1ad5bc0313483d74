-- forecast_input with what it does not say: whether a value was reported or filled, and how many days the gap that a
-- filled one lies in is long (0 = reported), so that a reader may leave long gaps out.
-- A gap between two reported days is a straight line between them; before the first and after the last reported day
-- their values go on, so that every series spans its days in the table. A series that never reported is not here.
WITH
days AS (
    SELECT
        host_id || '/' || resource AS unique_id,
        ds,
        y,
        min(ds) OVER series AS first_ds,
        max(ds) OVER series AS last_ds,
        min(ds) FILTER (WHERE y IS NOT NULL) OVER series AS first_reported
    FROM processed_data
    WINDOW series AS (PARTITION BY host_id || '/' || resource)
),
reported AS (
    SELECT
        unique_id,
        ds,
        y,
        CASE WHEN ds = first_reported THEN first_ds ELSE ds END AS from_ds,
        coalesce(lead(ds) OVER series - INTERVAL 1 DAY, last_ds) AS to_ds,
        lead(ds) OVER series AS next_ds,
        lead(y) OVER series AS next_y
    FROM days
    WHERE y IS NOT NULL
    WINDOW series AS (PARTITION BY unique_id ORDER BY ds)
),
filled AS (SELECT *, unnest(generate_series(from_ds, to_ds, INTERVAL 1 DAY)) AS day FROM reported)
SELECT
    unique_id,
    day AS ds,
    CASE
        WHEN day <= ds OR next_ds IS NULL THEN y
        ELSE y + (next_y - y) * date_diff('day', ds, day) / date_diff('day', ds, next_ds)
    END AS y,
    day <> ds AS is_filled,
    CASE
        WHEN day < ds THEN date_diff('day', from_ds, ds)
        WHEN day > ds THEN date_diff('day', ds, to_ds)
        ELSE 0
    END AS gap_days
FROM filled
