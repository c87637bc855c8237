"""A simulated IB Gateway: market, matching, commissions, faults, and the TWS protocol over them."""
