"""English patterns that tell rules; each module reads one family of them."""
