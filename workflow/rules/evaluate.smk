rule evaluate:
    """Score one trained run on the val set; the report reads the record."""
    input:
        data=rules.data.output,
        weights=rules.train.output.weights,
        training=rules.train.output.record,
    output:
        record=paths.run_path(suite, "{run}", "{seed}", "record.json"),
        detections=paths.run_path(suite, "{run}", "{seed}", "detections.json"),
    log:
        f"{RESULTS}/logs/evaluate/{{run}}-seed{{seed}}.log",
    # No training goes before what it has left to score.
    priority: 3
    threads: pipeline.threads(suite, at_most=1)
    resources:
        gpu=pipeline.gpus(suite, at_most=1),
    params:
        python=pipeline.launcher(suite, at_most=1),
        config=lambda wildcards: run_digests.evaluation_config(suite, wildcards.run),
        code=run_digests.evaluation_code(),
        trained=f"{RESULTS}/logs/train/{{run}}-seed{{seed}}.log",
    shell:
        "{params.python} -m mkd evaluate --run {wildcards.run} --seed {wildcards.seed}"
        " --data {input.data:q} --log {params.trained:q} > {log:q} 2>&1"
