rule data:
    """Make or check the data set; its digest goes into every record."""
    output:
        f"{RESULTS}/data.json",
    log:
        f"{RESULTS}/logs/data.log",
    # Nearly everything waits for it. Snakemake adds up the priorities of what it starts together:
    # two jobs that take kept weights, of three each, would go before one of five on both cores.
    priority: 100
    threads: 2
    params:
        data=digest([suite.settings.data.model_dump(), str(suite.data_root)]),
        code=pipeline.data_code(suite),
    shell:
        "python -m mkd data --out {output:q} 2>&1 | tee {log:q} >&2;"
        " exit ${{PIPESTATUS[0]}}"
