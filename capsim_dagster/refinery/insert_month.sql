-- The lines of one month's feed files, as rows for forecasting. Columns are read by position: headers are inspected
-- beforehand. Quotes are plain characters, so that an unclosed one costs its own line only; lines that do not parse
-- go to reject_errors. Every column is projected, because only projected ones are checked.
INSERT INTO processed_data (ds, host_id, resource, y, cap, capacity)
SELECT lines.date::TIMESTAMP, lines.host_id, month_files.resource, lines.util, 100.0, lines.capacity
FROM read_csv(
    $paths,
    columns = {'date': 'DATE', 'host_id': 'VARCHAR', 'util': 'DOUBLE', 'capacity': 'DOUBLE'},
    auto_detect = false, header = true, delim = ',', quote = '', escape = '', nullstr = [''],
    dateformat = '%Y-%m-%d', filename = true, store_rejects = true, rejects_limit = 0
) AS lines
JOIN (SELECT unnest($paths) AS filename, unnest($resources) AS resource) AS month_files USING (filename)
