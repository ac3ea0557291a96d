"""The one exception that stands for a user's mistake, and what was meant by a misspelt name."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Bad input, said in one sentence: what is wrong, where, and what to do.

    The command line prints the sentence and exits with 2; no traceback is shown.
    """


def meant(word: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the one that was meant, where one is close."""
    found = get_close_matches(word, list(known), n=1)
    return f"; did you mean '{found[0]}'?" if found else ""
