"""The wide server-metrics panel: one row a server a day, one column a metric; made, found, validated and shown."""
