DELETE FROM processed_data WHERE ds::DATE NOT IN (SELECT date FROM time_periods);
DELETE FROM rejected_lines WHERE yearmonth NOT IN (SELECT yearmonth FROM time_periods);
DELETE FROM refused_files WHERE yearmonth NOT IN (SELECT yearmonth FROM time_periods);
DELETE FROM feed_files WHERE yearmonth NOT IN (SELECT yearmonth FROM time_periods)
