"""MKD Bench: a table of runs in, five tables and a report out.

snakemake reproduce            everything of the scale in config/config.yaml
snakemake table1               one table of the paper
snakemake report_partial       a report of whatever has been run so far
snakemake summary --config scale=my.yaml    your own data: methods against their baseline
snakemake --config scale=paper -n reproduce
"""

import atexit
import signal
import sys
from pathlib import Path

from snakemake.utils import min_version

# In older versions a resource is a plain number.
min_version("9.17")

# The checkout's package, whether or not it is installed.
sys.path.insert(0, str(workflow.basedir))

from mkd import gpus
from mkd.edge import suite as edge
from mkd.errors import UserError
from mkd.experiment import config as mkd_config
from mkd.experiment import paths, run_digests
from mkd.experiment.code import code_digest
from mkd.provenance import digest
from mkd.workflow import (
    checks,
    environment,
    estimate,
    fork_server,
    locks,
    pipeline,
    screen,
    summary,
)


report: "report/captions/workflow.rst"


# Read with --sdm apptainer alone; envs/Dockerfile says how it is made.
container: f"{workflow.basedir}/envs/mkd-bench.sif"


try:
    # It reads config/config.yaml; Snakemake's own has what the command line replaces.
    suite = mkd_config.load(dict(config))
    checks.check_files(suite)
    if not (suite.own or environment.nested()):
        checks.check_runs(suite)
    environment.tell_jobs(suite, workflow)
except UserError as error:
    sys.exit(f"mkd: {error}")

RESULTS = suite.results.as_posix()

if workflow.is_main_process and not workflow.output_settings.dryrun:
    locks.clear_stale_locks(Path(".snakemake"))
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        # A terminal that is lost is a Ctrl-C: without it, jobs on a cluster would go on alone.
        signal.signal(signal.SIGHUP, signal.default_int_handler)

live = screen.Watch(suite)
if workflow.output_settings.dryrun and suite.settings.estimate is not None:
    # Behind the list of jobs, where it is seen.
    atexit.register(estimate.say, suite, workflow)


wildcard_constraints:
    run="|".join(suite.runs),
    seed=r"\d+",
    size="|".join(run_digests.backbones(suite)),
    table="[1-5]",


include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/starts.smk"
include: "workflow/rules/validity.smk"
include: "workflow/rules/latency.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/report.smk"


if not suite.own:

    include: "workflow/rules/tables.smk"


rule reproduce:
    default_target: True
    input:
        # Of what lies between, Snakemake misses nothing as long as what follows is there.
        pipeline.records(suite),
        edge.table_records(suite),
        edge.student_records(suite),
        [] if suite.own else rules.first_page.output,
        rules.report.output,
        [] if suite.own else rules.tables.input,
    localrule: True


# Of a misspelt target Snakemake says that no rule produces it.
for handler in logger.handlers:
    handler.addFilter(
        screen.Targets(rule.name for rule in workflow.rules if not rule.has_wildcards())
    )


onstart:
    print(f"scale {suite.scale}: {suite.settings.summary}", file=sys.stderr)
    try:
        if workflow.local_exec and pipeline.gpus(suite):
            cap = workflow.global_resources.get("gpu")
            idle = gpus.idle(cap and cap.value, pipeline.gpus(suite))
            if idle:
                print(idle, file=sys.stderr)
        pipeline.restore_data(suite, workflow.dag.needrun_jobs())
    except UserError as error:
        sys.exit(f"mkd: {error}")
    live.start(logger, workflow.dag.jobs, workflow.dag.needrun_jobs())
    if workflow.local_exec:
        # With its limit of jobs a second each job that ends leaves Snakemake's scheduler one more
        # round to every second: after a hundred they took a tenth of the processor (9.27).
        workflow.scheduler.job_rate_limiter = None
    if environment.may_fork(suite, workflow):
        fork_server.start()


onsuccess:
    live.stop()
    print(summary.summary(suite, log), file=sys.stderr)


onerror:
    live.stop()
    print(summary.summary(suite, log), file=sys.stderr)
