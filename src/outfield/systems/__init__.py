"""Published systems of the literature: one YAML file each says what stands for it here, and what was measured."""
