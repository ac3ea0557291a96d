rule export_model:
    """One detector of Table 1 at full width: counted, exported, checked against torch, quantized."""
    input:
        rules.data.output,
    output:
        complexity=f"{RESULTS}/complexity/{{model}}.json",
        # Their weights are random: nobody wants them once they are timed.
        files=temp(edge.onnx_files(suite, "{model}", edge.precisions())),
    log:
        f"{RESULTS}/logs/export/{{model}}.log",
    wildcard_constraints:
        model="|".join(edge.zoo(suite)) or "none",
    threads: 1
    params:
        precisions=" ".join(edge.precisions()),
        settings=edge.settings(suite).input_px,
        wheels=edge.wheels(),
        code=code_digest("mkd.edge.jobs", *edge.ENGINE_MODULES),
        paper=pipeline.paper_costs(),
    shell:
        "python -m mkd export --model {wildcards.model} --out {output.files[0]:q}"
        " --precisions {params.precisions} --record {output.complexity:q}"
        " > {log:q} 2>&1"


rule export_student:
    """The first seed of a run: exported, quantized, and its AP on the val set at each precision."""
    input:
        rules.data.output,
        lambda wildcards: [
            paths.run_path(suite, wildcards.run, suite.seeds(wildcards.run)[0], name)
            for name in ("weights.pth", "train.json", "record.json")
        ],
    output:
        exported=f"{RESULTS}/exported/{{run}}.json",
        files=edge.onnx_files(suite, "{run}", edge.precisions()),
    log:
        f"{RESULTS}/logs/export/{{run}}.log",
    threads: 1
    params:
        precisions=" ".join(edge.precisions()),
        settings=edge.settings(suite).calibration_images,
        wheels=edge.wheels(),
        code=code_digest("mkd.edge.jobs", *edge.ENGINE_MODULES),
    shell:
        "python -m mkd export --run {wildcards.run} --out {output.files[0]:q}"
        " --precisions {params.precisions} --record {output.exported:q}"
        " > {log:q} 2>&1"


rule time_file:
    """One exported file on one engine; nothing else runs meanwhile, it takes every core."""
    input:
        file=lambda wildcards: edge.onnx_file(
            suite,
            wildcards.name,
            edge.exported_precision(wildcards.provider, wildcards.precision),
        ),
        detector=lambda wildcards: edge.onnx_files(
            suite,
            wildcards.name,
            [edge.exported_precision(wildcards.provider, wildcards.precision)],
        )[1],
    output:
        f"{RESULTS}/latency/{{name}}-{{precision}}-{{provider}}.json",
    log:
        f"{RESULTS}/logs/latency/{{name}}-{{precision}}-{{provider}}.log",
    wildcard_constraints:
        name="|".join([*edge.zoo(suite), *edge.students(suite)]) or "none",
        precision="|".join(edge.PRECISIONS),
        provider="|".join(edge.providers()),
    threads: workflow.cores or 1
    resources:
        exclusive=1,
        gpu=lambda wildcards: int(wildcards.provider in ("cuda", "tensorrt")),
    params:
        options=edge.timing_options(suite),
        where=lambda wildcards: edge.engine_options(
            wildcards.provider, wildcards.precision
        ),
        used=lambda wildcards, threads: edge.timing_threads(threads),
        wheels=lambda wildcards: edge.wheels(wildcards.provider),
        code=code_digest("mkd.edge.measure", "mkd.edge.timing", *edge.ENGINE_MODULES),
    shell:
        "python -m mkd latency {input.file:q} {params.where}"
        " --threads {params.used} {params.options} --out {output:q} > {log:q} 2>&1"


rule published:
    """AP on the val set of a detector's published checkpoint, at a scale whose data are COCO's."""
    input:
        data=rules.data.output,
        checkpoint=lambda wildcards: edge.checkpoint(suite, wildcards.model) or [],
    output:
        f"{RESULTS}/published/{{model}}.json",
    log:
        f"{RESULTS}/logs/published/{{model}}.log",
    wildcard_constraints:
        model="|".join(edge.zoo(suite)) or "none",
    threads: pipeline.threads(suite, at_most=1)
    resources:
        gpu=pipeline.gpus(suite, at_most=1),
    params:
        python=pipeline.launcher(suite, at_most=1),
        code=code_digest("mkd.edge.published"),
    shell:
        "{params.python} -m mkd published --model {wildcards.model} --data {input.data:q}"
        " --out {output:q} > {log:q} 2>&1"


rule latency:
    """Every detector of Table 1 that can be built here: params, MACs and latency."""
    input:
        edge.complexity_records(suite),
        edge.latency_records(suite, edge.zoo(suite)),
    localrule: True


rule exported:
    """The students of config/latency.yaml: AP and latency of each exported file."""
    input:
        edge.student_records(suite),
        [edge.onnx_files(suite, run, edge.precisions()) for run in edge.students(suite)],
    localrule: True
