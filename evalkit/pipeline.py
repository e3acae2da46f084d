"""One benchmark of a run through its stages: config, data, check, generate, score, aggregate."""

from __future__ import annotations

import logging
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from evalkit.catalog import Catalog, Entry
from evalkit.config import ImageTransport, OnUnproven, RunConfig, as_plain, compose
from evalkit.errors import RunError, UserError
from evalkit.generation.log import OutputLog
from evalkit.generation.request import Settings, file_url
from evalkit.generation.stage import (
    MISSING,
    Checked,
    Generated,
    Job,
    as_row_now,
    check_rows,
    generate,
    wanted_rows,
)
from evalkit.metrics import aggregate
from evalkit.preparation import prepare
from evalkit.prompt import Prompt, load_prompt
from evalkit.references import reference_scores
from evalkit.rows import Lock, read_rows, replace_file
from evalkit.run_folder import RunFolder
from evalkit.scoring.stage import Rules, score_line, write_scores
from evalkit.servers.canary import sing
from evalkit.servers.dialects import sampling_parameters
from evalkit.servers.endpoint import Endpoint, ask
from evalkit.servers.http import api_key
from evalkit.structured.constraint import constraint_of, constraint_parameters

LOG = logging.getLogger(__name__)

REPEATS_TEMPERATURE = 0.7
"""The temperature of ``name:N``, as in NeMo-Skills: N greedy samples would be N times the same."""


@dataclass
class BenchmarkRun:
    """A benchmark with everything that is known before the first request."""

    entry: Entry
    samples: int
    config: RunConfig
    rows_file: Path
    lock: Lock | None
    prompt: Prompt
    rules: Rules
    server_type: str
    checked: Checked = field(init=False)
    constraint: dict[str, Any] | None = None
    stopped: bool = False

    def check(self) -> None:
        """Check the settings against the kind of server, then every row; what was found is kept."""
        request_settings(self.config, Endpoint("", "", self.server_type), self.samples)
        self.checked = check_rows(self.job)

    def prove_constraint(self, endpoint: Endpoint) -> None:
        """Find out whether the server enforces the constraint, where there is one.

        Raises RunError where it does not, unless ``structured.on_unproven=mark``: the metrics then have no
        validity, since a parameter that a server ignores says nothing.
        """
        constraint = constraint_of(self.config.structured)
        if constraint is None:
            return
        sung = sing(endpoint, constraint.kind)
        self.constraint = {"kind": constraint.kind, "enforced": bool(sung.enforced), "canary": sung.detail}
        if not sung.enforced and self.config.structured.on_unproven is OnUnproven.refuse:
            raise RunError(
                f"the server does not enforce structured.{constraint.kind} (against it, it {sung.detail}); "
                "++structured.on_unproven=mark goes on without a validity"
            )

    @property
    def name(self) -> str:
        """The benchmark's name."""
        return self.entry.benchmark.name

    @property
    def job(self) -> Job:
        """What the generate stage is given."""
        return Job(
            self.name, self.rows_file, self.prompt, self.config, self.samples, self.server_type != "embedded"
        )

    def record(self) -> dict[str, Any]:
        """What ``run.yaml`` says of it."""
        return {
            "samples": self.samples,
            "protocol": self.rules.name,
            "prompt": self.prompt.name,
            "rows_file": str(self.rows_file),
            "data": None
            if self.lock is None
            else {key: getattr(self.lock, key) for key in self.lock.__slots__},
            "config": as_plain(self.config),
        }


def request_settings(config: RunConfig, endpoint: Endpoint, samples: int) -> Settings:
    """Settings of requests to a server under a config. Raises UserError for what it does not take."""
    parameters = sampling_parameters(config, endpoint.server_type)
    version = endpoint.info.get("server_version") if endpoint.server_type == "vllm" else None
    if (constraint := constraint_of(config.structured)) is not None:
        parameters |= constraint_parameters(constraint, endpoint.server_type, version)
    return Settings(
        model=endpoint.model,
        parameters=parameters,
        delivery={"stream": True, "stream_options": {"include_usage": True}}
        if config.inference.stream
        else {},
        seed=config.inference.random_seed,
        revision=endpoint.revision,
        samples=samples,
        # A server that tells its version as vLLM does is one; the type alone is the user's word.
        several=version is not None and not config.inference.stream,
        transform=endpoint.transform,
        transform_name=endpoint.transform_name,
    )


def parse_benchmarks(text: str) -> list[tuple[str, int, bool]]:
    """``"a,b:4"`` as (name, samples, whether repeats were asked for)."""
    found = []
    for each in filter(None, (part.strip() for part in text.split(","))):
        name, colon, repeats = each.rpartition(":")
        if not colon:
            found.append((each, 1, False))
        elif repeats.isdecimal() and int(repeats) >= 1:
            found.append((name, int(repeats), True))
        else:
            raise UserError(f"--benchmarks={each}: after ':' stands the number of samples, at least 1")
    if not found:
        raise UserError("--benchmarks: name at least one, such as easy-vqa or mmmu-pro:4")
    names = [name for name, _, _ in found]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise UserError(f"--benchmarks: {', '.join(sorted(repeated))} stands twice")
    return found


def plan_benchmark(
    catalog: Catalog,
    name: str,
    samples: int,
    repeated: bool,
    *,
    overrides: Sequence[str],
    config_file: Path | None,
    data_dir: Path,
    split: str | None,
    server_type: str,
) -> BenchmarkRun:
    """Find a benchmark, compose its config, prepare its data where they are not there, load its prompt."""
    entry = catalog.find(name)
    benchmark = entry.benchmark
    layers: list[tuple[str, Mapping[str, Any]]] = [(f"benchmark {name}", benchmark.defaults)]
    if repeated:
        layers.append((f"{name}:{samples}", {"inference": {"temperature": REPEATS_TEMPERATURE}}))
    config = compose(overrides, layers=layers, config_file=config_file)
    rules = Rules.of(benchmark, config.protocol.value)
    prompt = load_prompt(
        config.prompt_config or benchmark.prompt,
        catalog.prompt_folders(entry),
        system=config.system_message,
        user=config.user_message,
        suffix=config.prompt_suffix,
    )
    rows_file, lock = find_data(entry, data_dir, split)
    return BenchmarkRun(entry, samples, config, rows_file, lock, prompt, rules, server_type)


def find_data(entry: Entry, data_dir: Path, split: str | None) -> tuple[Path, Lock | None]:
    """A benchmark's rows, prepared now where they are not there; checked against their lock."""
    split = split or entry.benchmark.split
    rows_file = entry.rows_file(data_dir, split)
    if rows_file.exists():
        lock = Lock.read(rows_file)
        if lock is not None:
            lock.check(rows_file)
        return rows_file, lock
    if entry.preparer is None:
        raise UserError(f"{rows_file}: is not there, and {entry.benchmark.name} has no preparer")
    entry.preparer.check_split(entry.benchmark.name, split)
    LOG.warning(
        "%s: its data are not prepared yet; preparing them in %s", entry.benchmark.name, rows_file.parent
    )
    return rows_file, prepare(entry.benchmark.name, entry.preparer, rows_file, split)


def make(job: Job, checked: Checked, endpoint: Endpoint, output_file: Path) -> Generated:
    """The generate stage against a server."""
    config = job.config
    own = endpoint.server_type == "embedded"
    settings = request_settings(config, endpoint, job.samples)
    return generate(
        job,
        checked,
        replace(settings, file_urls=_sends_paths(config, endpoint, checked.first_file)),
        endpoint.urls or endpoint.url,
        output_file,
        window=min(config.max_concurrent_requests, endpoint.window or config.max_concurrent_requests),
        adapt=endpoint.window is None,
        hosted=endpoint.server_type == "openai",
        api_key=None if own else api_key(),
    )


def _sends_paths(config: RunConfig, endpoint: Endpoint, first_file: str | None) -> bool:
    """Whether image files go as paths: as asked for, or as one request with a path turns out."""
    if config.image_transport is ImageTransport.base64 or first_file is None or endpoint.transform:
        return False
    if config.image_transport is ImageTransport.file:
        return True
    status, answer = ask(endpoint, "What is this?", [file_url(first_file)], max_tokens=1)
    LOG.info("images go as %s", "paths" if status == 200 else f"base64 (a path: HTTP {status}, {answer})")
    return status == 200


def execute(run: BenchmarkRun, endpoint: Endpoint, folder: RunFolder) -> dict[str, Any]:
    """Generate, score and aggregate; returns the metrics, which are in the folder then."""
    generated = make(run.job, run.checked, endpoint, folder.output_file(run.name))
    run.stopped = generated.stopped
    folder.add_timing(folder.timing_file(run.name), timing(generated))
    LOG.info(
        "%s: %d asked, %d were there already, %d stale lines left out, %d retries",
        *(run.name, generated.asked, generated.reused, generated.stale, generated.retries),
    )
    return score_generations(run, generated, folder, endpoint.model)


def score_generations(
    run: BenchmarkRun, generated: Generated, folder: RunFolder, model: str
) -> dict[str, Any]:
    """The score and aggregate stages over the generations of a run."""
    with OutputLog(folder.output_file(run.name)) as log:
        rows = (row for row in wanted_rows(run.job, run.checked) for _ in range(run.samples))
        lines = (
            as_row_now(log.read(offset), row, run.job)
            for row, offset in zip(rows, generated.offsets, strict=True)
            if offset != MISSING
        )
        scores = (score_line(line, run.rules, run.config.generation_key) for line in lines)
        metrics = aggregate(
            run.name,
            write_scores(folder.scores_file(run.name), scores),
            samples=run.samples,
            wanted=len(generated.offsets),
            skipped=len(generated.skipped),
        )
    references = reference_scores(run.entry.benchmark, (row.fields for row in read_rows(run.rows_file)))
    whole = {
        "status": metrics.pop("status"),
        "model": model,
        "protocol": run.rules.name,
        "metric": run.entry.benchmark.metric,
        "prompt": run.prompt.name,
        "references": [
            {"name": each.name, "score": round(each.score, 6), "n": each.n, "how": each.how}
            for each in references
        ],
        **metrics,
    }
    if run.constraint is not None:
        whole["constraint"] = run.constraint
        if not run.constraint["enforced"]:
            _withhold_validity(whole)
    write_metrics(folder.metrics_file(run.name), whole)
    return whole


def _withhold_validity(metrics: dict[str, Any]) -> None:
    """Take the validity out of metrics whose constraint was not enforced: it says nothing of it."""
    metrics["status"] += "; validity withheld: the server does not enforce the constraint"
    for modes in metrics.values():
        for figures in modes.values() if isinstance(modes, dict) else ():
            if isinstance(figures, dict) and "validity" in figures:
                figures |= {"validity": None, "validity_ci95": None}


def write_metrics(path: Path, metrics: Mapping[str, Any]) -> None:
    """Write metrics so that the same figures are the same bytes; NaN is null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, orjson.dumps(metrics, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def timing(generated: Generated) -> dict[str, Any]:
    """How fast a session was: seconds, requests and tokens a second, latencies."""
    seconds = max(generated.seconds, 1e-9)
    return {
        "seconds": round(generated.seconds, 3),
        "asked": generated.asked,
        "reused": generated.reused,
        "stale_lines": generated.stale,
        "retries": generated.retries,
        "window": generated.window,
        "requests_per_second": round(generated.asked / seconds, 2),
        "generated_tokens_per_second": round(generated.tokens / seconds, 2),
        "latency_seconds": dict(_quantiles(generated.latencies)),
    }


def _quantiles(latencies: array[float]) -> Iterator[tuple[str, float]]:
    # To three digits: few different values, however many requests there were.
    ordered = sorted(Counter(float(f"{each:.3g}") for each in latencies).items())
    for name, share in (("p50", 0.5), ("p95", 0.95), ("max", 1.0)):
        left = min(len(latencies) - 1, int(share * len(latencies)))
        for value, count in ordered:
            left -= count
            if left < 0:
                yield name, value
                break
