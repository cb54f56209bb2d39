"""Control for outfield: an item is an episode, a model is a policy that plays it, a changed world is a shift."""
