"""Page drills: a fault on a real stack, its page, the repair, the resolve."""
