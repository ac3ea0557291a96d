rule table:
    """One table of the paper, paper against measured, as CSV, Markdown and LaTeX."""
    input:
        lambda wildcards: pipeline.records(suite, int(wildcards.table)),
        lambda wildcards: edge.table_records(suite) if wildcards.table == "1" else [],
    output:
        csv=report(
            f"{RESULTS}/tables/table{{table}}.csv",
            caption="../../report/captions/table.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
        others=multiext(f"{RESULTS}/tables/table{{table}}", ".md", ".tex"),
    log:
        f"{RESULTS}/logs/table{{table}}.log",
    localrule: True
    params:
        code=pipeline.table_code(),
        shown=lambda wildcards: pipeline.shown(suite, int(wildcards.table)),
    shell:
        "python -m mkd table --table {wildcards.table} > {log:q} 2>&1"


for number in range(1, 6):

    rule:
        name:
            f"table{number}"
        input:
            expand(rules.table.output, table=number),
            # They may have been deleted, which Snakemake looks for in what is asked alone.
            pipeline.records(suite, number),
            edge.table_records(suite) if number == 1 else [],
        localrule: True


rule tables:
    input:
        expand(rules.table.output, table=range(1, 6)),
        pipeline.records(suite),
        edge.table_records(suite),
    localrule: True
