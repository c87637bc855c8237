"""What the service costs, measured beside what others use: ``python -m benchmarks --list``.

Rules: both sides of a comparison run in turn in one run; ratios are what counts, because an absolute time says little
on a shared machine. Every report names its seed and its machine. Nothing here is imported by what it measures.
"""
