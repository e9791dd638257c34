"""The parts of scripts/diff-fuzz: scenarios from a seed, the kernel in a user-mode Linux, the director, the comparison."""
