rule levels:
    """Positives that RTMDet's own assigner gives to each level of the undistilled students."""
    input:
        data=rules.data.output,
        trained=pipeline.counted(suite).values(),
    output:
        f"{RESULTS}/levels.json",
    log:
        f"{RESULTS}/logs/levels.log",
    threads: 1
    params:
        code=lambda wildcards: code_digest("mkd.evaluation.levels"),
    shell:
        "python -m mkd levels --out {output:q} > {log:q} 2>&1"


rule noise:
    """How much of AP the choice of val images decides, by bootstrap over them."""
    input:
        data=rules.data.output,
        detections=pipeline.resampled(suite).values(),
    output:
        f"{RESULTS}/noise.json",
    log:
        f"{RESULTS}/logs/noise.log",
    threads: 1
    params:
        code=lambda wildcards: code_digest("mkd.evaluation.bootstrap"),
    shell:
        "python -m mkd noise --out {output:q} > {log:q} 2>&1"
