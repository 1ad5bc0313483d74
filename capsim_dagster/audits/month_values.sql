-- One month of telemetry as numbers: host, resource, day of the month (from 0), value.
SELECT
    try_cast(substr(host_id, 5) AS BIGINT) AS host,
    (list_position($resources, resource::VARCHAR) - 1)::TINYINT AS resource,
    (date - $first::DATE)::TINYINT AS day,
    util::FLOAT AS util
FROM {relation}
WHERE date BETWEEN $first AND $last
