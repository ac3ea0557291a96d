rule pretrain:
    """The backbone of one size, pretrained on crops where the scale has no ImageNet weights."""
    input:
        data=rules.data.output,
    output:
        f"{RESULTS}/pretrained/{{size}}.pth",
    log:
        f"{RESULTS}/logs/pretrain/{{size}}.log",
    # Everything else waits for these.
    priority: 4
    threads: pipeline.threads(suite, at_most=1)
    resources:
        gpu=pipeline.gpus(suite, at_most=1),
    params:
        python=pipeline.launcher(suite, at_most=1),
        settings=lambda wildcards: run_digests.pretraining(suite, wildcards.size),
        code=code_digest("mkd.training.pretraining"),
    shell:
        "{params.python} -m mkd pretrain --size {wildcards.size} --data {input.data:q}"
        " --out {output:q} > {log:q} 2>&1"


rule train:
    """One run, one seed, from scratch or from its last sound checkpoint."""
    input:
        data=rules.data.output,
        backbone=lambda wildcards: paths.backbone_weights(suite, wildcards.run),
        teacher=lambda wildcards: paths.teacher_weights(
            suite, wildcards.run, int(wildcards.seed)
        ),
        start=lambda wildcards: paths.start_weights(
            suite, wildcards.run, int(wildcards.seed)
        ),
    output:
        weights=paths.run_path(suite, "{run}", "{seed}", "weights.pth"),
        record=paths.run_path(suite, "{run}", "{seed}", "train.json"),
    log:
        f"{RESULTS}/logs/train/{{run}}-seed{{seed}}.log",
    # Before what has none: exports fill idle cores, timing has all of them at the end.
    priority: 1
    threads: pipeline.threads(suite)
    resources:
        gpu=pipeline.gpus(suite),
    params:
        python=pipeline.launcher(suite),
        config=lambda wildcards: run_digests.config_digest(
            suite, wildcards.run, int(wildcards.seed)
        ),
        code=lambda wildcards: run_digests.train_code(suite, wildcards.run),
        start=lambda wildcards, input: [
            word
            for name in ("backbone", "teacher", "start")
            if input[name]
            for word in (f"--{name}", str(input[name]))
        ],
    shell:
        "{params.python} -m mkd train --run {wildcards.run} --seed {wildcards.seed}"
        " --data {input.data:q} {params.start:q} > {log:q} 2>&1"


use rule train as train_teacher with:
    wildcard_constraints:
        run="|".join(pipeline.teachers(suite)) or "none",
    # Everything else waits for these.
    priority: 2


use rule train as train_first with:
    wildcard_constraints:
        run="|".join(pipeline.first(suite)) or "none",
    # The page begins with them.
    priority: 3


ruleorder: train_first > train_teacher > train
