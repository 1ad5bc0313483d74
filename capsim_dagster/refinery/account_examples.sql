-- A few rejected lines of each reason, from as many files as there are. Only the first line numbers of each file are
-- kept on the way, so that millions of lines cost no more memory than a few.
WITH firsts AS (
    SELECT reason, path, min(line, 5) AS lines
    FROM rejected_lines
    GROUP BY reason, path
),
numbered AS (
    SELECT reason, path, unnest(lines) AS line, generate_subscripts(lines, 1) AS nth
    FROM firsts
),
chosen AS (
    SELECT reason, path, line
    FROM numbered
    QUALIFY row_number() OVER (PARTITION BY reason ORDER BY nth, path) <= $examples
)
SELECT reason, path, line, any_value(column_name) AS column_name, left(any_value(raw), $characters) AS raw
FROM chosen
JOIN rejected_lines USING (reason, path, line)
GROUP BY reason, path, line
ORDER BY reason, path, line
