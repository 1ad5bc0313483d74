-- Lines of feed files without a date, host or capacity; an empty utilization is a gap and allowed.
SELECT filename, count(*) AS lines
FROM read_csv(
    $paths,
    columns = {'date': 'DATE', 'host_id': 'VARCHAR', 'util': 'DOUBLE', 'capacity': 'DOUBLE'},
    auto_detect = false, header = true, delim = ',', quote = '', escape = '', nullstr = [''],
    dateformat = '%Y-%m-%d', filename = true, store_rejects = true, rejects_limit = 0
)
WHERE date IS NULL OR host_id IS NULL OR capacity IS NULL
GROUP BY ALL
