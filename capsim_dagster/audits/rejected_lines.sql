-- Lines that read_csv could not parse, with the file, the line and the first reason.
SELECT DISTINCT ON (scans.file_path, errors.line) scans.file_path, errors.line, errors.column_name, errors.error_message, errors.csv_line
FROM reject_errors AS errors
JOIN reject_scans AS scans USING (scan_id, file_id)
ORDER BY scans.file_path, errors.line, errors.column_idx
