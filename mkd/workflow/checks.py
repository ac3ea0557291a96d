"""What is refused before anything is planned: named files that are not there, runs likewise.

Torch is not imported here.
"""

from mkd import ROOT
from mkd.edge import suite as edge
from mkd.errors import UserError, meant
from mkd.experiment import paths, runs
from mkd.experiment.suite import Suite
from mkd.paper import claims
from mkd.schemas import checked_yaml
from mkd.workflow import pipeline

FOLDER = ROOT / "config"


def check_files(suite: Suite) -> None:
    """Refuse a file or folder that is not there before a rule's input function meets it.

    Of an error in one of those Snakemake shows no sentence.

    Raises:
        UserError: What is wrong.
    """
    edge.settings(suite)
    _ = suite.data_root
    paths.missing_pretrained(suite)
    paths.missing_weights(suite)
    pipeline.counted(suite)
    edge.published_records(suite)


def check_runs(suite: Suite) -> None:
    """Refuse a claim, a gate or a timing of a run that no table has: it would never be run.

    Nothing is refused while a table cannot be read: the run may stand in that one.

    Args:
        suite: The scale; its table may be any file.

    Raises:
        UserError: There is one, or a file of them is malformed.
    """
    gates = checked_yaml(FOLDER / "gates.yaml", "gates")
    judged = [("gates.yaml: the list of students", gates["students"])]
    for gate in gates["gates"]:
        sides = [gate[side] for side in ("left", "right") if side in gate]
        judged.append((f"gates.yaml: gate '{gate['id']}'", [*gate.get("runs", ()), *sides]))
    for scale, section in checked_yaml(FOLDER / "latency.yaml", "latency-settings").items():
        judged.append((f"latency.yaml: {scale}: students", section["students"]))
    for claim in claims.load(FOLDER / "claims.yaml"):
        judged.append((f"claims.yaml: claim '{claim.family}'", [*claim.left, *claim.right]))
    known = set(suite.runs)
    for table in FOLDER.glob("*.tsv"):
        try:
            known |= runs.ids(table)
        except UserError:
            # Whoever runs that table is told what is wrong with it.
            return
    for where, named in judged:
        for run in named:
            if run not in known:
                raise UserError(
                    f"{FOLDER}/{where} names the run '{run}', which no table of runs there "
                    f"has{meant(run, known)}"
                )
