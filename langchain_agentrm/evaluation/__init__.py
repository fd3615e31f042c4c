"""Methods over tasks: greedy, controls, best-of-N and beams, paired by task."""
