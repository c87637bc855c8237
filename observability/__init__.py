"""Observes the trading service: metrics, logs, traces, health. Never needed to trade."""
