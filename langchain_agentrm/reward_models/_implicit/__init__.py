"""Log-probabilities of a policy's steps beside its reference's."""
