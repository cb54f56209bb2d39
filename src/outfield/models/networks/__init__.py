"""Networks that outfield trains: one file each, built from parameters that JSON can state."""
