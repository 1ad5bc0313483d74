-- What forecasting libraries read as it is: one row a series and day, no null, no missing day, and just these columns,
-- as some libraries take any further one for a regressor and others abort on it. Which values were filled, and how, is
-- in forecast_input_marked.
SELECT unique_id, ds, y
FROM forecast_input_marked
