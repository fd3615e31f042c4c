"""Running vLLM from the Python that holds it."""
