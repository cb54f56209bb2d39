"""Anyone's table of results: how it is written, what its columns are, and the measures of models that it holds."""
