"""The dashboard: studies looked at in a browser, read-only."""
