"""The deterministic simulation: engine, exchange, faults and clock under one seed, with invariants after every event.

Rules: a world is a pure function of its seed and the configuration: the same seed gives the same history, in every
process and on every machine. The engine, the loop, the strategy, risk and the books are the service's own; what is
simulated is the broker, the link, the journal's disk, the host's clock, the operator, and death.
"""

from trader.drills.simulation.model import Scenario, SimulationError, Violation, WorldResult
from trader.drills.simulation.run import Campaign, CampaignResult, SeedResult, require_usable, run_campaign, run_seed
from trader.drills.simulation.scenario import scenario_of
from trader.drills.simulation.world import run_world

__all__ = [
    "Campaign",
    "CampaignResult",
    "Scenario",
    "SeedResult",
    "SimulationError",
    "Violation",
    "WorldResult",
    "require_usable",
    "run_campaign",
    "run_seed",
    "run_world",
    "scenario_of",
]
