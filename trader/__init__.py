"""An Interactive Brokers trading service."""
