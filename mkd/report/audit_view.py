"""The audit as the page shows it: what the code found under each item, and the open choices."""

from collections.abc import Sequence
from typing import Any

from mkd.experiment.labels import arch_name
from mkd.paper.facts import Note, Paper
from mkd.paper.quotes import Finding


def audited(paper: Paper, findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Items that code checks, with their findings, by weight; what has no item comes last."""
    items = [
        {"note": note, "findings": [f for f in findings if note.id in f.items]}
        for note in sorted(paper.notes, key=lambda note: -note.weight)
        if note.findings
    ]
    loose = [finding for finding in findings if not finding.items]
    return items + ([{"note": None, "findings": loose}] if loose else [])


def equal_to_published(paper: Paper) -> list[dict[str, Any]]:
    """The paper's "Ours" of Table 1 beside the CWD published before with the same AP.

    Returns:
        ``model``, ``ours``, ``published`` (the entry of ``config/paper/published.csv``) and
        ``teacher`` of each equal pair.
    """
    return [
        {
            "model": arch_name(row.arch),
            "ours": row.cells["AP"],
            "published": known,
            "teacher": arch_name(known.teacher),
        }
        for row in paper.table(1)
        for known in paper.published
        if row.method == "mkd" and (known.arch, known.method) == (row.arch, "cwd")
        if row.cells["AP"] == known.cells["box_AP"]
    ]


def choices(paper: Paper) -> list[Note]:
    """What the paper leaves open, where the suite had to choose."""
    return [note for note in paper.notes if note.default]
