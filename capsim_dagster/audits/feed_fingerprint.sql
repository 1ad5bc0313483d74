-- One row a feed file, as it lies on disk; checksums as in fingerprint.sql. Columns are read by position, so the header
-- is inspected beforehand; quotes are plain characters, so that an unclosed one costs its own line only; lines that do
-- not parse go to reject_errors instead of failing the read.
SELECT
    filename,
    count(*) AS rows,
    count(util) AS reported,
    sum(key) AS key_checksum,
    sum(hash(key, util, capacity)) AS checksum
FROM (
    SELECT filename, util, capacity, hash(host_id, date) AS key
    FROM read_csv(
        $paths,
        columns = {'date': 'DATE', 'host_id': 'VARCHAR', 'util': 'DOUBLE', 'capacity': 'DOUBLE'},
        auto_detect = false, header = true, delim = ',', quote = '', escape = '', nullstr = [''],
        dateformat = '%Y-%m-%d', filename = true, store_rejects = true, rejects_limit = 0
    )
)
GROUP BY ALL
