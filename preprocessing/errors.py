"""The exceptions that the command line answers with one line instead of a traceback."""


class UserError(ValueError):
    """A mistake of the caller's: the message says what was wrong, what was found and what to do, in one line."""


class ClusterError(RuntimeError):
    """The cluster does not give what a job needs: one line with host, cause and remedy; later it may succeed."""


def first_line(error: BaseException) -> str:
    """The first line of what an exception says; Spark's and Keras' go on with what helps nobody."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
