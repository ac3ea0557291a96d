rule data:
    """Make or check the data set; its digest goes into every record."""
    output:
        f"{RESULTS}/data.json",
    log:
        f"{RESULTS}/logs/data.log",
    # Nearly everything waits for it: what a start needs, on one core, is made beside what follows.
    priority: 5
    threads: 2
    params:
        data=digest([suite.settings.data.model_dump(), str(suite.data_root)]),
        code=pipeline.data_code(suite),
    shell:
        "python -m mkd data --out {output:q} 2>&1 | tee {log:q} >&2;"
        " exit ${{PIPESTATUS[0]}}"
