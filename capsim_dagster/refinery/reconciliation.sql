-- One row a loaded file, of one month or of all: what its account says, and what tables hold of it.
SELECT files.path, files.yearmonth, files.resource, files.lines, files.loaded, files.rejected,
    files.checksum, coalesce(lines_of.rejected, 0) AS rejected_lines
FROM feed_files AS files
LEFT JOIN (
    SELECT yearmonth, resource, count(*) AS rejected FROM rejected_lines
    WHERE $month IS NULL OR yearmonth = $month
    GROUP BY ALL
) AS lines_of USING (yearmonth, resource)
WHERE $month IS NULL OR files.yearmonth = $month
ORDER BY files.yearmonth, files.resource
