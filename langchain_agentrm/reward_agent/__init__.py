"""RewardAgent: a preference model joined with signals that can be verified."""
