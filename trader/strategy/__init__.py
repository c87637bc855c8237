"""Strategies: the protocol, the built-in ones, how they are found."""
