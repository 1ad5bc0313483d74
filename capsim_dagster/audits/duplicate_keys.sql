-- Host-months of a resource that hold a day twice. Days are kept as bits, which costs a fifth of grouping by day.
SELECT host_id, resource::VARCHAR AS resource, (year(date) * 100 + month(date))::INTEGER AS month,
    count(*) - bit_count(bit_or(1::BIGINT << day(date))) AS extra_rows
FROM {relation}
GROUP BY ALL
HAVING extra_rows > 0
ORDER BY ALL
