"""`tier1_realtime`: the fleet as it is now, archived interval by interval and served over HTTP."""
