"""What the stack cannot do, said in one sentence."""


class StackError(Exception):
    """The stack cannot run; the text says what, where and what to do."""


class ProgramsMissing(StackError):
    """A program is neither installed nor can be unpacked; the text says which and why."""
