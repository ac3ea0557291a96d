rule pictures:
    """The same val images as three detectors see them."""
    input:
        data=rules.data.output,
        detections=pipeline.pictured(suite).values(),
    output:
        f"{RESULTS}/figures/qualitative.json",
    log:
        f"{RESULTS}/logs/pictures.log",
    localrule: True
    params:
        code=lambda wildcards: code_digest(
            "mkd.evaluation.examples", "mkd.experiment.labels"
        ),
    shell:
        "python -m mkd pictures --out {output:q} > {log:q} 2>&1"


rule attention:
    """Where students and their teacher look on those images, before and after distillation."""
    input:
        data=rules.data.output,
        weights=sum(pipeline.attended(suite).values(), []),
    output:
        f"{RESULTS}/figures/attention.json",
    log:
        f"{RESULTS}/logs/attention.log",
    threads: 1
    params:
        code=lambda wildcards: code_digest(
            "mkd.evaluation.attention", "mkd.experiment.labels"
        ),
    shell:
        "python -m mkd attention --out {output:q} > {log:q} 2>&1"


rule spectrum:
    """What the random mask of the frequency term does to the loss, by experiment."""
    output:
        f"{RESULTS}/figures/spectrum.json",
    log:
        f"{RESULTS}/logs/spectrum.log",
    localrule: True
    params:
        code=lambda wildcards: code_digest("mkd.losses.analysis"),
    shell:
        "python -m mkd spectrum --out {output:q} > {log:q} 2>&1"
