"""How the factuality verifier asks, reads answers, pairs candidates and counts."""
