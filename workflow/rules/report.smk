rule report:
    """Paper against measured, one self-contained page; its plots also as files in figures/."""
    input:
        pipeline.records(suite),
        edge.table_records(suite),
        edge.student_records(suite),
        [] if suite.own else rules.spectrum.output,
        rules.pictures.output if pipeline.pictured(suite) else [],
        rules.attention.output if pipeline.attended(suite) else [],
        rules.levels.output if pipeline.counted(suite) else [],
        rules.noise.output if pipeline.resampled(suite) else [],
    output:
        page=report(
            f"{RESULTS}/report/index.html",
            caption="../../report/captions/page.rst",
            category="Paper against measured",
        ),
        data=f"{RESULTS}/report/data.json",
        # Whatever writes a page takes this away: another one in its place is no finished report.
        whole=touch(f"{RESULTS}/report/.whole"),
    log:
        f"{RESULTS}/logs/report.log",
    localrule: True
    params:
        code=lambda wildcards: pipeline.report_code(),
        shown=pipeline.shown(suite),
        beside=pipeline.beside(suite),
    shell:
        "python -m mkd report > {log:q} 2>&1"


if suite.own:

    rule summary:
        """The page of a scale of one's own: methods against their baseline."""
        input:
            rules.report.output,
            pipeline.records(suite),
            edge.student_records(suite),
        localrule: True

else:

    rule first_page:
        """The page as soon as the rows around the open question are there; the rest reads not run."""
        input:
            [
                paths.run_path(suite, run, seed, "record.json")
                for run in pipeline.first(suite)
                for seed in suite.seeds(run)
            ],
        output:
            touch(f"{RESULTS}/report/.begun"),
        log:
            f"{RESULTS}/logs/first_page.log",
        priority: 3
        localrule: True
        shell:
            "python -m mkd report > {log:q} 2>&1"


if pipeline.readings(suite):

    rule readings:
        """More readings and rivals than the paper has rows, and what shows them."""
        input:
            pipeline.readings(suite),
        log:
            f"{RESULTS}/logs/readings.log",
        localrule: True
        params:
            tables=pipeline.readings_tables(suite),
        shell:
            "(for number in {params.tables}; do python -m mkd table --table $number || exit; done;"
            " python -m mkd report) > {log:q} 2>&1"


rule report_partial:
    """The same page from whatever has been run; the rest reads not run."""
    log:
        f"{RESULTS}/logs/report_partial.log",
    localrule: True
    shell:
        "python -m mkd report > {log:q} 2>&1"
