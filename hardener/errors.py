"""What can go wrong, in words that say what to do about it.

Every error a user can cause is a `HardenError`; the command line prints its message on one
line and leaves with exit code 2. Anything else that reaches the user is a bug.
"""


def one_line(error: Exception) -> str:
    """What a foreign exception says, on one line of bounded length."""
    return " ".join(str(error).split())[:400]


class HardenError(Exception):
    """The job could not be done; the message names the mend."""


class UsageError(HardenError):
    """The arguments contradict each other or ask for something that does not exist."""


class DataError(HardenError):
    """Images, labels, triggers or saved results cannot be used."""


class ModelError(HardenError):
    """A model file cannot be read, understood or rewritten."""


class ExaminationBugError(ModelError):
    """A bug of ours that a model brought out while it was examined, which ends the job alone."""


class InconclusiveError(HardenError):
    """The job ran, but the evidence is missing or not finite; never to be read as clean."""


class ProviderError(HardenError):
    """An execution provider was named that cannot run here."""
