-- Months that were loaded and that the calendar does not hold.
SELECT DISTINCT yearmonth
FROM feed_files ANTI JOIN time_periods USING (yearmonth)
ORDER BY ALL
