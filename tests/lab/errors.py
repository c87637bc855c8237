"""What can go wrong in the lab; every message is one sentence that says what to do."""


class LabError(Exception):
    """The lab could not do what it was asked."""


class LabUnavailable(LabError):
    """This machine cannot run the lab (or not with this release); the message is the reason of a skip."""


class CommandFailed(LabError):
    """A command in the lab exited with another code than 0, or took too long; the message has its output."""


class TimedOut(LabError, AssertionError):
    """What was waited for did not come; a failed assertion, because nothing but the lab's subject is at fault."""
