-- One row an event and day that it covers.
SELECT host_id, resource, kind, unnest(generate_series(start, "end", INTERVAL 1 DAY))::DATE AS date
FROM truth_events
