"""Pictures: frames and arrays in, the bytes of an SVG or PNG out; no disk, no orchestrator."""
