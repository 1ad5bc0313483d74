-- One row a reason: how many lines in how many files, the most frequent first.
SELECT reason, count(*) AS lines, count(DISTINCT path) AS files
FROM rejected_lines
GROUP BY reason
ORDER BY lines DESC, reason
