-- As forecast_input, for saturating growth: floor and cap beside y, and gaps as nulls, which Prophet leaves out.
SELECT host_id || '/' || resource AS unique_id, ds, y, 0.0::DOUBLE AS floor, cap
FROM processed_data
