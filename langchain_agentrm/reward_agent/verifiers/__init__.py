"""Verifiers, one idea a file; each loads when first asked for."""
