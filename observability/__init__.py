"""Observes the trading service: metrics, logs, traces, health. Never needed to trade.

Rules: of ``trader`` it knows facts, the snapshot and value types, and nothing of ``trader`` but the composition root
and the command line knows it. Facts are counted, logged and traced as they come (``instruments``, ``logs``,
``tracing``); state is read from a snapshot at the scrape (``collectors``, ``cgroup``). ``catalogue`` lists every
metric; ``stack.build`` wires it all.
"""
