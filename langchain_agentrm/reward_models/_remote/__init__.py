"""Servers of scores: connections, retries, replicas, and what goes over the wire."""
