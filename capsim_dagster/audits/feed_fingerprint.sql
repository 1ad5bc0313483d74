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
    SELECT filename, util, {capacity} AS capacity, hash(host_id, date) AS key
    FROM read_csv(
        $paths,
        columns = {columns},
        auto_detect = false, header = true, delim = $delimiter, quote = $quote, escape = $quote, nullstr = [$gap],
        decimal_separator = $decimal, dateformat = $date_format,
        filename = true, store_rejects = true, rejects_limit = 0
    )
)
GROUP BY ALL
