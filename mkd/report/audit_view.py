"""The audit as the page shows it: what the code found under each item, and the open choices."""

from collections.abc import Sequence
from typing import Any

from mkd.paper.facts import Note, Paper
from mkd.paper.quotes import Finding


def audited(paper: Paper, findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Items that code checks, with their findings; the ones without an item last."""
    items = [
        {"note": note, "findings": [f for f in findings if note.id in f.items]}
        for note in paper.notes
        if note.findings
    ]
    loose = [finding for finding in findings if not finding.items]
    return items + ([{"note": None, "findings": loose}] if loose else [])


def choices(paper: Paper) -> list[Note]:
    """What the paper leaves open, where the suite had to choose."""
    return [note for note in paper.notes if note.default]
