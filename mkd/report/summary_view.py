"""The summary of the page in the manner of a reproducibility report, written from the records."""

from collections.abc import Mapping, Sequence

from mkd.experiment.runs import Run
from mkd.experiment.suite import Suite
from mkd.paper.facts import Note
from mkd.report.verdict_view import general
from mkd.results import gates, verdicts
from mkd.results.gates import Gate
from mkd.results.records import Records, coverage, machine
from mkd.results.statements import case_name
from mkd.results.verdicts import Verdict

MOST = 6
"""Claims that are named under a heading; the rest is counted."""
NOTHING = "Nothing that was tested."


def summary(
    suite: Suite,
    records: Records,
    judged: Sequence[Verdict],
    gated: Sequence[Gate],
    choices: Sequence[Note],
) -> dict[str, list[str]]:
    """Heading → its sentences.

    Args:
        suite: The scale and its table of runs.
        records: Of the scale.
        judged: Every claim.
        gated: Every gate.
        choices: What the paper leaves open.
    """
    runs = suite.runs
    paper = [v for v in judged if v.claim.stated == "paper" and v.claim.reading == "default"]
    asked = [v for v in judged if v.claim.stated == "open" and v.claim.reading == "default"]
    return {
        "Scope": _scope(suite, paper, asked, gated),
        "What was done": _done(suite, records),
        "What held": [
            *_claims(paper, verdicts.REPRODUCED, runs),
            *_claims(asked, verdicts.REPRODUCED, runs, prefix="Answered yes: "),
        ]
        or [NOTHING],
        "What did not hold": [
            *_claims(paper, verdicts.NOT_REPRODUCED, runs),
            *_claims(asked, verdicts.NOT_REPRODUCED, runs, prefix="Answered no: "),
        ]
        or ["Nothing that was tested came out the opposite way."],
        "What stayed undecided": _undecided([*paper, *asked]),
        "What was easy": [
            "The paper prints all five tables in full, and its detectors, teachers and rivals have "
            "public recipes.",
            "No equation asks for a change of the detector.",
        ],
        "What was hard": [
            f"{len(choices)} points of the method and its training are open or contradict another "
            f"place, and {sum(bool(note.options) for note in choices)} of them can be read in more "
            "than one way here. Each is listed below with what is taken.",
            "Neither seeds nor a spread are printed, so the size of a difference cannot be judged "
            "from the paper alone.",
        ],
    }


def _scope(
    suite: Suite, paper: Sequence[Verdict], asked: Sequence[Verdict], gated: Sequence[Gate]
) -> list[str]:
    directions = [v for v in paper if v.claim.kind != "size"]
    said = (
        f"{len(directions)} claims of the paper and {len(asked)} questions it leaves open, at "
        f"{suite.scale} scale: {suite.settings.summary}."
    )
    return [said, gates.summary(gated)]


def _done(suite: Suite, records: Records) -> list[str]:
    found = [record for *_, record in records.each()]
    said = [coverage(records, suite)]
    if found:
        hosts = dict.fromkeys(map(machine, found))
        said.append(
            f"The trainings behind all {len(found)} records, those of teachers, starts, checks and "
            f"readings too, took {records.training_hours():.1f} hours, one after the other, on "
            f"{'; '.join(hosts)}. Of a resumed one its last part counts; weights taken from "
            "elsewhere add no time."
        )
    timed = {r["model"] for r in records.edge.latency}
    if timed:
        said.append(f"The latency of {len(timed)} models was timed.")
    return said


def _claims(
    judged: Sequence[Verdict],
    word: str,
    runs: Mapping[str, Run],
    *,
    prefix: str = "",
) -> list[str]:
    """Each claim with the cases that got a word; claims of equal costs together."""
    families: dict[str, list[Verdict]] = {}
    equal = 0
    for verdict in judged:
        if verdict.word != word or verdict.claim.kind == "size":
            continue
        # Of equal costs there are many, and all should hold: one that does not is named.
        if verdict.claim.kind == "equal" and word == verdicts.REPRODUCED:
            equal += 1
        else:
            families.setdefault(verdict.claim.family, []).append(verdict)
    # Equal costs that are not lead, so that they are never among those that are only counted.
    order = sorted(families.values(), key=lambda members: members[0].claim.kind != "equal")
    said = []
    for members in order:
        metrics = {v.claim.metric.rpartition(".")[2] for v in members}
        statement = general(members[0].claim.template, metrics).removesuffix(".")
        cases = ", ".join(
            case_name(v.claim, runs)
            + " (of which the paper’s own table shows the opposite or nothing)"
            * verdicts.denied(v.claim)
            for v in members
        )
        said.append(f"{prefix}{statement}: {cases}.")
    if len(said) > MOST:
        more = sum(len(members) for members in order[MOST:])
        said = [*said[:MOST], f"{more} more verdicts, under the verdicts below."]
    if equal:
        said.append(
            f"{equal} that parameters, operations or the graph are equal, which training cannot "
            "change."
        )
    return said


def _undecided(judged: Sequence[Verdict]) -> list[str]:
    counts = {
        words: sum(v.word == word and v.claim.kind != "size" for v in judged)
        for word, words in (
            (verdicts.NOISE, "tested and not separable from noise"),
            (verdicts.NOT_TESTED, "without the seeds a test asks for"),
            (verdicts.NOT_RUN, "not run"),
            (verdicts.NOT_COMPARABLE, "not comparable at this scale"),
        )
    }
    said = "; ".join(f"{count} {words}" for words, count in counts.items() if count)
    return [f"{said}." if said else "Nothing."]
