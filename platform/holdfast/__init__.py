"""Holdfast keeps an image classifier learning while its world moves."""

import os

# OpenMP's threads wait for each other by spinning, and read this when torch loads. On a
# machine that does anything else as well, spinning costs more than all the arithmetic:
# a step of a 28x28 network took 1.9 s on two busy cores, and 0.05 s with this.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
