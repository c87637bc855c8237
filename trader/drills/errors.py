"""Why a drill cannot go on: one sentence."""


class DrillError(Exception):
    """The drill itself failed, which says nothing about the alert; one sentence."""
