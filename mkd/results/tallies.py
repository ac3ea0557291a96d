"""How often each verdict was given, what was tested apart from what was not."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mkd.experiment.runs import Run
from mkd.paper.claims import Claim
from mkd.results import statistics, verdicts
from mkd.results.formats import number
from mkd.results.statements import stated
from mkd.results.verdicts import Verdict

GROUPS = {
    "paper": "The paper’s claims",
    "open": "Questions the paper leaves open",
    "other": "Other readings of MKD",
}
"""What is never added up; the first two are of MKD as this suite reads the paper."""
ANSWERS = {verdicts.REPRODUCED: "answered: yes", verdicts.NOT_REPRODUCED: "answered: no"}
"""Words of a question that the paper leaves open: it claims nothing that could be reproduced."""


@dataclass(frozen=True)
class Tally:
    """The verdicts of one of :data:`GROUPS`.

    Attributes:
        group: Its key.
        tested: Word → how often, of what was tested.
        untested: The same of what was not: too few seeds, no record, not comparable.
        equal: How many of the reproduced say that costs are equal, which training cannot change.
    """

    group: str
    tested: dict[str, int]
    untested: dict[str, int]
    equal: int

    def said(self, word: str) -> str:
        """A verdict's word as it is shown of this group."""
        return _shown(word, self.group)


@dataclass(frozen=True)
class Corrected:
    """What is left of the tested directions after Holm's correction.

    Attributes:
        tests: How many directions were tested, of all groups.
        left: Of them those that are significant still, the claimed direction or the opposite.
        pairs: Paired seeds of the one that has fewest.
        most: Of the one that has most.
    """

    tests: int
    left: tuple[Verdict, ...]
    pairs: int = 0
    most: int = 0

    def said(self, runs: Mapping[str, Run]) -> str:
        """The tally in one sentence, and what is left in words.

        Args:
            runs: The table of runs, by id.
        """
        if not self.tests:
            return "No direction was tested, so there is nothing to correct."
        notes = {
            1: " (the paper’s own table shows the opposite or nothing)",
            -1: " (the paper’s own table does not show it either)",
        }
        sides = [[v.claim for v in self.left if v.delta and v.delta.sign == s] for s in notes]
        said = (
            f"After Holm’s correction for {self.tests} tested directions, all that have a claim (p "
            f"of the paired t-test): {len(sides[0])} as claimed{_by_group(sides[0])}, "
            f"{len(sides[1])} the opposite{_by_group(sides[1])}, "
            f"{self.tests - len(self.left)} not separable from noise."
        )
        if self.pairs > 1:
            few, many = (
                f"{number(statistics.least_ratio(pairs, self.tests), 1)} times its standard "
                f"deviation over {pairs} seeds"
                for pairs in (self.pairs, max(self.pairs, self.most))
            )
            said += (
                f" To be among them a mean difference must be about {few}"
                f"{f' and {many}' * (few != many)}: an effect that is not among them may "
                "still exist."
            )
        for words, side, note in zip(
            ("As claimed", "The opposite of"), sides, notes.values(), strict=True
        ):
            if side:
                statements = [f"“{stated(c, runs)}”{note * verdicts.denied(c)}" for c in side]
                said += f" {words}: {' '.join(statements)}"
        return said


def _by_group(claims: Sequence[Claim]) -> str:
    """How many of them are of which group, in brackets, where they are not all the paper's."""
    counts = Counter(map(group_of, claims))
    if counts.keys() <= {"paper"}:
        return ""
    words = (
        f"{counts[key]} of {name[0].lower()}{name[1:]}"
        for key, name in GROUPS.items()
        if counts[key]
    )
    return f" ({', '.join(words)})"


def tallies(judged: Sequence[Verdict], scale: str) -> list[Tally]:
    """A tally of each group that has claims; sizes count only where they are judged."""
    made = []
    for group in GROUPS:
        mine = [v for v in judged if group_of(v.claim) == group and _counts(v.claim, scale)]
        counts = Counter(verdict.word for verdict in mine)
        if mine:
            made.append(
                Tally(
                    group,
                    {word: counts[word] for word in verdicts.TESTED if counts[word]},
                    {word: counts[word] for word in verdicts.UNTESTED if counts[word]},
                    sum(v.word == verdicts.REPRODUCED and v.claim.kind == "equal" for v in mine),
                )
            )
    return made


def corrected(judged: Sequence[Verdict]) -> Corrected:
    """Holm's correction over every direction that has a claim and was tested, whoever asked."""
    tested = [
        verdict
        for verdict in judged
        if verdict.claim.kind == "greater" and verdict.word in verdicts.TESTED and verdict.delta
    ]
    values = [statistics.p_value(v.delta) for v in tested if v.delta]
    adjusted = statistics.holm([1.0 if p is None else p for p in values])
    left = (v for v, p in zip(tested, adjusted, strict=True) if p < 1 - v.claim.level)
    pairs = [len(v.delta.points) for v in tested if v.delta]
    return Corrected(len(tested), tuple(left), min(pairs, default=0), max(pairs, default=0))


def lines(judged: Sequence[Verdict], scale: str, runs: Mapping[str, Run]) -> list[str]:
    """The tallies and what Holm's correction leaves, a line each.

    What was not run at all is left out.

    Args:
        judged: The verdicts of one scale.
        scale: That scale.
        runs: Its table of runs, by id.
    """
    run = [t for t in tallies(judged, scale) if {*t.tested, *t.untested} != {verdicts.NOT_RUN}]
    left = corrected(judged)
    return [*map(_line, run), *([left.said(runs)] if left.tests else [])]


def said(word: str, claim: Claim) -> str:
    """A verdict's word as it is shown of that claim."""
    return _shown(word, group_of(claim))


def _shown(word: str, group: str) -> str:
    return word if group == "paper" else ANSWERS.get(word, word)


def _line(tally: Tally) -> str:
    parts = [
        f"{title} {sum(counts.values())}"
        + (f" ({', '.join(f'{n} {tally.said(w)}' for w, n in counts.items())})" if counts else "")
        for title, counts in (("tested", tally.tested), ("without a test", tally.untested))
    ]
    equal = f" {tally.equal} of the reproduced say that costs are equal." if tally.equal else ""
    return f"{GROUPS[tally.group]}: {'; '.join(parts)}.{equal}"


def group_of(claim: Claim) -> str:
    """A claim's key of :data:`GROUPS`."""
    return "other" if claim.reading == "other" else claim.stated


def _counts(claim: Claim, scale: str) -> bool:
    return claim.kind != "size" or claim.size_scale == scale
