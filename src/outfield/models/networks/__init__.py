"""Networks that outfield trains, or whose published weights it reads: one file each, built from plain parameters."""
