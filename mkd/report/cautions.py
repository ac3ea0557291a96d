"""What limits the conclusion, in sentences that are written by rule."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from mkd.experiment.labels import arch_name
from mkd.experiment.runs import Run
from mkd.paper.deviations import Deviation
from mkd.report.frames import at_defaults
from mkd.results import gates
from mkd.results.formats import number
from mkd.results.gates import Gate
from mkd.results.records import Records, ap_of
from mkd.results.tallies import Corrected


def tests_and_gates(found: Mapping[str, Corrected], scale: str, gated: Sequence[Gate]) -> str:
    """What is left of the tested directions, and how the gates ended; empty without a test.

    Args:
        found: Scale → what Holm's correction leaves of its directions.
        scale: That of the gates.
        gated: They.
    """
    said = [
        f"{len(one.left)} of {one.tests} tested directions at {name} scale"
        for name, one in found.items()
        if one.tests
    ]
    if not said:
        return ""
    places = ["the verdicts"] if scale in found and found[scale].left else []
    places += (
        ["the comparison of scales"]
        if any(one.left for name, one in found.items() if name != scale)
        else []
    )
    named = f", which are named under {' and '.join(places)}" if places else ""
    words = Counter(gate.word for gate in gated)
    counts = [f"{words[word]} {word}" for word in (gates.FAIL, gates.PASS) if words[word]]
    counts += [f"{words[gates.NOT_RUN]} were not run"] if words[gates.NOT_RUN] else []
    return (
        f"Holm’s correction for many tests leaves {', '.join(said)}{named}. Of {len(gated)} "
        f"validity gates {', '.join(counts)} at {scale} scale."
    )


def chosen(differing: Iterable[Deviation], scales: Sequence[str]) -> list[str]:
    """What ``config/deviations.yaml`` says beside the answers of scales."""
    return [item.caution[scale] for item in differing for scale in scales if scale in item.caution]


def untaught(records: Records, runs: Mapping[str, Run], archs: Sequence[str]) -> str:
    """Detectors whose teacher is no better than they are undistilled; empty where there is none.

    Args:
        records: Of one scale.
        runs: Its table of runs.
        archs: Architectures of the students, in the order they are named.
    """
    found = []
    for arch in archs:
        rows = at_defaults(runs, arch)
        teacher = next((run.teacher for run in rows if run.method == "mkd"), None)
        student = next((run.id for run in rows if run.method == "baseline"), None)
        above = records.of_teacher(teacher, ap_of(arch))
        points = records.points(student, ap_of(arch)).values()
        if above is not None and points and above < fmean(points):
            found.append(f"{arch_name(arch)}’s has {number(fmean(points) - above)} AP less")
    if not found:
        return ""
    return (
        f"At {records.scale} scale a teacher is no better than its undistilled student: "
        f"{'; '.join(found)}. What is found there says nothing of a better teacher."
    )
