"""The one exception that the command line answers with a line instead of a traceback."""


class UserError(ValueError):
    """A mistake of the caller's: the message says what was wrong, what was found and what to do, in one line."""
