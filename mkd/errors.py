"""The one exception that stands for a user's mistake."""


class UserError(Exception):
    """Bad input, said in one sentence: what is wrong, where, and what to do.

    The command line prints the sentence and exits with 2; no traceback is shown.
    """
