if any(map(suite.taken, suite.runs)):

    rule take:
        """Weights that a file has, another scale's or any, in the place of a training."""
        input:
            data=lambda wildcards: (
                rules.data.output if wildcards.run in suite.pretrained else []
            ),
            weights=lambda wildcards: paths.taken_weights(
                suite, wildcards.run, int(wildcards.seed)
            ),
        output:
            weights=paths.run_path(suite, "{run}", "{seed}", "weights.pth"),
            record=paths.run_path(suite, "{run}", "{seed}", "train.json"),
        log:
            f"{RESULTS}/logs/take/{{run}}-seed{{seed}}.log",
        wildcard_constraints:
            run="|".join(filter(suite.taken, suite.runs)),
        priority: 3
        localrule: True
        params:
            config=lambda wildcards: pipeline.taking(
                suite, wildcards.run, int(wildcards.seed)
            ),
        shell:
            "python -m mkd take --run {wildcards.run} --seed {wildcards.seed} > {log:q} 2>&1"

    ruleorder: take > train_first
    ruleorder: take > train_teacher
    ruleorder: take > train


if suite.starts is None:

    rule keep:
        """Trained weights, small, with their card, for scales that start from them."""
        input:
            record=paths.run_path(suite, "{run}", "{seed}", "record.json"),
            weights=rules.train.output.weights,
        output:
            weights=paths.kept_weights(suite, "{run}", "{seed}"),
            card=paths.kept_weights(suite, "{run}", "{seed}").replace(
                paths.PACKED, ".json"
            ),
        log:
            f"{RESULTS}/logs/keep/{{run}}-seed{{seed}}.log",
        localrule: True
        shell:
            "python -m mkd keep --run {wildcards.run} --seed {wildcards.seed}"
            " --out {output.weights:q} > {log:q} 2>&1"

    rule starts:
        """Everything this scale trains, as other scales take it."""
        input:
            [
                paths.kept_weights(suite, run, seed)
                for run in filter(suite.scored, suite.runs)
                for seed in suite.seeds(run)
            ],
        localrule: True

else:
    STARTS = suite.starts.results.as_posix()

    rule starts_data:
        """The data set of the scale that trains what this one starts from."""
        output:
            # Its record is an output of that scale's own workflow: of two rules that make one file
            # each would find it changed by the other, and all that follows would be made anew.
            touch(f"{RESULTS}/starts-data"),
        log:
            f"{RESULTS}/logs/starts-data.log",
        localrule: True
        params:
            record=f"{STARTS}/data.json",
            arguments=pipeline.starts_arguments(suite),
        shell:
            "snakemake --nolock --cores 1 {params.record:q} {params.arguments} > {log:q} 2>&1"

    rule train_start:
        """What this scale starts from and did not come with the suite, or is not wanted."""
        input:
            rules.starts_data.output,
        output:
            weights=f"{STARTS}/weights/{{run}}-seed{{seed}}{paths.PACKED}",
            card=f"{STARTS}/weights/{{run}}-seed{{seed}}.json",
        log:
            f"{RESULTS}/logs/starts/{{run}}-seed{{seed}}.log",
        wildcard_constraints:
            # They need not be runs of this scale.
            run="|".join(suite.starts.runs),
        # No priority: what needs one waits for it, and the first page needs none.
        localrule: True
        threads: pipeline.starts_threads(suite, pipeline.here(workflow.cores))
        params:
            arguments=pipeline.starts_arguments(suite),
        shell:
            "snakemake --nolock --cores {threads} {output:q} {params.arguments} > {log:q} 2>&1"

    rule starts:
        """Train from nothing all that this scale starts from; `--config starts=train` takes it."""
        log:
            f"{RESULTS}/logs/all-starts.log",
        localrule: True
        params:
            cores=pipeline.here(workflow.cores),
            arguments=pipeline.starts_arguments(suite),
        shell:
            "snakemake --nolock --cores {params.cores} starts {params.arguments}"
            " 2>&1 | tee {log:q} >&2; exit ${{PIPESTATUS[0]}}"
