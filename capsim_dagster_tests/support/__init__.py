"""What tests of several tiers share: small feeds, fleets, servers, sabotages."""
