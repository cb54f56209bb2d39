from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Exit, Option, Typer

from outfield.errors import UserError

if TYPE_CHECKING:
    from outfield.guard.batches import BatchVerdict
    from outfield.guard.timeline import Timeline
    from outfield.types import Estimate

FAILED = 3
"""Exit status where a batch is not like the calibration data."""

group = Typer(
    name="guard",
    help="From a model and ID data to a detector in production, with a promise on its false alarms.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@group.command()
def plan(
    n: Annotated[int, Argument(help="Calibration items.")],
    *,
    alpha: Annotated[float, Option(help="Share of ID items that may be flagged.")] = 0.05,
    delta: Annotated[float, Option(help="Share of calibrations in which it may be more.")] = 0.05,
    traffic: Annotated[float, Option(help="ID items a day.")] = 0.0,
    detected: Annotated[float, Option(help="Share of OOD items that the detector flags.")] = 0.5,
) -> None:
    """What a number of calibration items promises and costs, before any is collected."""
    from outfield.guard.thresholds import plan as planned

    found = planned(n, alpha, delta, traffic=traffic, detected=detected)
    print(f"At most {alpha:.1%} of ID items are flagged, in {1 - delta:.0%} of calibrations with {n:,} items.")
    print(f"Expected: {found.expected:.2%} of ID items.")
    if traffic:
        print(f"That is {found.alarms_a_day:,.0f} false alarms a day.")
    print(f"Where the flag rate rises above {alpha:.1%}, at least {found.visible_share:.1%} of a stream is OOD.")
    print(f"To confirm the promise later: {found.audit:,} random ID items.")


@group.command()
def build(
    model: Annotated[str, Argument(help="timm:NAME, hf:NAME-or-folder, onnx:FILE, FILE.skops, FILE.py:CALLABLE.")],
    *,
    id: Annotated[Path, Option(help="Labelled ID data that the detector is fitted on.")],
    calibrate: Annotated[Path, Option(help="ID data that nothing saw before.")],
    output: Annotated[Path, Option("--output", "-o", help="Folder of the bundle.")],
    detector: Annotated[str, Option(help="Its name; `outfield list detectors`.")] = "energy",
    alpha: Annotated[float, Option(help="Share of ID items that may be flagged.")] = 0.05,
    delta: Annotated[float, Option(help="Share of calibrations in which it may be more.")] = 0.05,
    per_class: Annotated[bool, Option("--per-class", help="A threshold for each predicted class too.")] = False,
    ood: Annotated[list[str] | None, Option(help="CATEGORY=PATH: how much of it is flagged.")] = None,
) -> None:
    """Fit a detector, calibrate it on other items, and write the bundle."""
    from outfield.cli._card import ood_of
    from outfield.guard.build import build as built

    sets = None if not ood else ood_of(ood)
    made = built(
        model, fit=id, calibrate=calibrate, detector=detector, alpha=alpha, delta=delta, per_class=per_class, ood=sets
    )
    _told(made.manifest)
    print(f"Bundle: {made.save(output)}")


def _told(manifest: object) -> None:
    from outfield.guard.manifest import Manifest

    assert isinstance(manifest, Manifest)
    for one in manifest.promises:
        where = "" if one.scope == "all" else f" where {one.scope} is predicted"
        print(
            f"Promised{where}: at most {one.alpha:.1%} of ID items flagged, with probability "
            f"{1 - (one.delta or 0):.0%} over calibrations ({one.n:,} items); expected {one.expected:.2%}."
        )
    for each in manifest.measured:
        print(f"{each.set}: {each.flagged:.1%} flagged [{each.low:.1%}, {each.high:.1%}] of {each.n:,}.")
    for said in manifest.checks:
        print(f"- {said}")
    print("Not promised:")
    for said in manifest.limits:
        print(f"- {said}")


@group.command()
def check(
    bundle: Annotated[Path, Argument(help="Folder of a bundle.")],
    *,
    public_key: Annotated[Path | None, Option("--public-key", help="PEM: its owner must have signed it.")] = None,
) -> None:
    """Load a bundle, compare its signature, digests, schema and canaries, and say what it promises."""
    from outfield.guard.bundle import Bundle
    from outfield.guard.signature import verify

    if public_key is not None:
        verify(bundle, public_key)
        print(f"Signed by the owner of {public_key.name}.")
    found = Bundle.load(bundle)
    part = found.manifest
    print(f"{part.detector.name} on {part.model.adapter} {part.model.id!r}; built by outfield {part.outfield}.")
    print(f"Digest {part.digest}. As it was written; its canaries score as they did.")
    _told(part)


@group.command()
def sign(
    bundle: Annotated[Path, Argument(help="Folder of a bundle.")],
    *,
    private_key: Annotated[Path, Option("--private-key", help="Elliptic-curve key in PEM.")],
) -> None:
    """Sign every file of a bundle; `guard check --public-key` compares."""
    from outfield.guard.bundle import Bundle
    from outfield.guard.signature import sign as signed

    Bundle.load(bundle)
    print(f"Signature: {signed(bundle, private_key)}")


@group.command()
def score(
    bundle: Annotated[Path, Argument(help="Folder of a bundle.")],
    data: Annotated[Path, Argument(help="Inputs: a folder of pictures or a file, as for `outfield evaluate`.")],
    *,
    model: Annotated[str, Option(help="The model that the bundle was built with, as for `outfield evaluate`.")],
    output: Annotated[Path | None, Option("--output", "-o", help="A .csv or .parquet with a row an input.")] = None,
) -> None:
    """Prediction, score, p and verdict of every input, and a verdict on all together; exit code 3 where that fails.

    Run it again after a kill, and it goes on where it was.
    """
    from outfield.guard.guarded import guarded
    from outfield.guard.score_file import score_file

    found = score_file(guarded(model, bundle), data, output)
    if found.kept:
        print(f"Went on after {found.kept:,} inputs that were scored before.")
    if output is not None:
        print(f"Scores: {output}")
    _judge(found.whole, f"{found.flagged:,} of {found.whole.n:,} inputs flagged ({found.flagged / found.whole.n:.1%})")


@group.command()
def verdict(
    bundle: Annotated[Path, Argument(help="Folder of a bundle.")],
    scores: Annotated[Path, Argument(help="A table of `guard score` (.csv or .parquet).")],
    *,
    level: Annotated[float, Option(help="Share of ID batches that may fail.")] = 0.05,
) -> None:
    """The verdict on a batch from its scores; exit code 3 where it fails."""
    from outfield.guard.batches import verdict_of_batch
    from outfield.guard.bundle import Bundle
    from outfield.guard.scores import read

    loaded = Bundle.load(bundle)
    values = read(scores)[0]
    whole = verdict_of_batch(values, loaded.ladder, level=level)
    above = int((values > loaded.threshold).sum())
    _judge(whole, f"{above:,} of {whole.n:,} inputs above the threshold ({above / whole.n:.1%})")


def _judge(whole: BatchVerdict, counted: str) -> None:
    """Say what a batch is like, and end with 3 where it is not like the calibration data."""
    print(f"{counted}; {whole.unscored:,} without a score.")
    if whole.shifted:
        print(
            f"This batch is not like the calibration data (p = {whole.p:.2g}): at least {whole.ood_share:.1%} is not."
        )
        raise Exit(FAILED)
    print(f"Nothing says that this batch is not like the calibration data (p = {whole.p:.2g}).")


@group.command()
def select(
    table: Annotated[
        Path, Argument(help="Labelled ID items that nothing saw before: a table (.csv or .parquet) with a row an item.")
    ],
    *,
    uncertainty: Annotated[str, Option(help="Column of what is higher where an answer is less certain.")] = "score",
    prediction: Annotated[str, Option(help="Column of the model's answers.")] = "prediction",
    label: Annotated[str, Option(help="Column of the true classes.")] = "label",
    rate: Annotated[float, Option(help="Share of the answers that may be wrong.")] = 0.02,
    delta: Annotated[float, Option(help="Share of calibrations in which it may be more.")] = 0.05,
    ood: Annotated[Path | None, Option(help="A table of OOD items: what they would do to the promise.")] = None,
) -> None:
    """When to answer and when to abstain, so that few answers are wrong; what OOD inputs do to that."""
    from outfield.guard.abstention import of_tables

    found = of_tables(
        table, uncertainty=uncertainty, prediction=prediction, label=label, rate=rate, delta=delta, ood=ood
    )
    for said in found.sentences():
        print(said)


@group.command()
def monitor(
    bundle: Annotated[Path, Argument(help="Folder of a bundle.")],
    scores: Annotated[
        Path,
        Argument(help="A table of `guard score` (.csv or .parquet), in the order of time, or a service's --audit."),
    ],
    *,
    groups: Annotated[str | None, Option(help="Column of what belongs together: a film, a patient.")] = None,
    run_length: Annotated[float, Option(help="Items to a false alarm, at least, on average.")] = 100_000,
) -> None:
    """Watch a stream of scores for a change; exit code 3 where there was an alarm."""
    from outfield.guard.bundle import Bundle
    from outfield.guard.description import monitor_with_mirror
    from outfield.guard.monitor import CLUMPED
    from outfield.guard.scores import read
    from outfield.guard.timeline import timeline

    if scores.is_dir():
        if groups is not None:
            raise UserError("Expected a table for --groups, but an audit log has none. Leave --groups out.")
        story = timeline(scores, Bundle.load(bundle), run_length=run_length)
        watch = story.monitor
        if story.lacking:
            print(f"The log lacks {story.lacking:,} answers, which were lost or deleted.")
        _say_accuracy(story)
    else:
        watch = monitor_with_mirror(Bundle.load(bundle), run_length=run_length)
        watch.update(*read(scores, groups))
    what = "items" if groups is None else f"groups ({groups})"
    print(f"{watch.items:,.0f} {what} in {watch.blocks:,} blocks; false alarms: one in {run_length:,.0f} at most.")
    for place, rate in enumerate(watch.ladder.rates):
        low, high = watch.flag_rate(place)
        print(f"Certified {rate:.1%}: {watch.flags[place] / max(watch.items, 1):.2%} flagged [{low:.2%}, {high:.2%}].")
    if watch.clumps() > CLUMPED and groups is None:
        print(
            f"Flags come in clumps (variance {watch.clumps():.1f} times the binomial's): items that follow each other "
            "are alike, and the promise on false alarms does not hold. Name what belongs together with --groups."
        )
    alarms = [(name, one.alarmed_at) for name, one in watch.directions.items() if one.alarm]
    for name, at in alarms:
        print(
            f"ALARM after {at:,.0f} {what}: scores {'rise' if name == 'up' else 'fall'}; the stream is no longer like "
            "the calibration data."
        )
    if alarms:
        raise Exit(FAILED)
    print("No alarm.")


def _say_accuracy(story: Timeline) -> None:
    """The last estimates of the accuracy that a service has logged."""
    if story.accuracy.is_empty():
        return
    last = story.accuracy.filter(story.accuracy["time"] == story.accuracy["time"][-1])
    for one in last.filter(last["estimator"].is_not_null()).iter_rows(named=True):
        value, low, high = (one[name] for name in ("value", "low", "high"))
        print(f"Recent inputs, {one['estimator']}: {value:.1%} [{low:.1%}, {high:.1%}] of {one['n']:,} answered right.")
    print(last["trust"][0])


@group.command()
def accuracy(
    bundle: Annotated[Path, Argument(help="Folder of a bundle.")],
    data: Annotated[Path, Argument(help="Inputs without labels.")],
    *,
    id: Annotated[Path, Option(help="Labelled ID data that the model was not trained on.")],
    model: Annotated[str, Option(help="The model that the bundle was built with.")],
) -> None:
    """How accurate the model probably is on data without labels; exit code 3 where that cannot be said."""
    from outfield.guard.accuracy import of_data
    from outfield.guard.guarded import guarded

    found = of_data(guarded(model, bundle), data, id)
    print(f"On the labelled ID data: {_percent(found.known)} of {found.known.n:,}.")
    for name, one in found.estimates.items():
        print(f"{name}: {_percent(one)}")
    print(found.trust)
    if found.refused:
        raise Exit(FAILED)


def _percent(found: Estimate) -> str:
    return f"{found.value:.1%} [{found.low:.1%}, {found.high:.1%}]"


@group.command()
def export(
    bundle: Annotated[Path, Argument(help="Folder of a bundle.")],
    *,
    onnx: Annotated[Path | None, Option(help="The .onnx file.")] = None,
    output: Annotated[Path | None, Option("--output", "-o", help="Folder of a bundle that holds the graph.")] = None,
    model: Annotated[str | None, Option(help="The model; without it the graph reads logits and features.")] = None,
    data: Annotated[Path | None, Option(help="Some inputs of the model: the graph is compared on 256 of them.")] = None,
) -> None:
    """Model, detector and thresholds as one ONNX graph, which is served without torch."""
    from outfield.errors import UserError
    from outfield.guard.bundle import Bundle
    from outfield.guard.export import export as exported
    from outfield.store.write import atomically

    if onnx is None and output is None:
        raise UserError("Expected where to write the graph, but got nothing. Pass --onnx FILE or -o FOLDER.")
    if onnx is not None and onnx.suffix != ".onnx":
        raise UserError(f"Expected a file of .onnx, but got {onnx.name!r}. Choose that ending.")
    source = Bundle.load(bundle)
    graph = exported(source, model, data)
    if onnx is not None:
        with atomically(onnx) as temporary:
            temporary.write_bytes(graph.content)
        print(f"Graph: {onnx}")
    if output is not None:
        print(f"Bundle: {source.with_onnx(graph.content).save(output)}")
    print(
        f"Compared with Python on {graph.compared:,} inputs: {graph.changed:,} decisions differ; scores by at most "
        f"{graph.largest:.1g} standard deviations of the calibration scores."
    )


@group.command()
def recheck(
    bundle: Annotated[Path, Argument(help="Folder of a bundle.")],
    data: Annotated[Path, Argument(help="Inputs as they come in production.")],
    *,
    original: Annotated[str, Option(help="The model that the bundle was built with.")],
    model: Annotated[str, Option(help="The same model in another precision, on another device, or re-exported.")],
    limit: Annotated[float, Option(help="The share of changed verdicts that passes.")] = 0.01,
    device: Annotated[str | None, Option(help="Where the other model computes.")] = None,
    output: Annotated[Path | None, Option("--output", "-o", help="Folder of a bundle for the other model.")] = None,
) -> None:
    """Count the decisions that change with another form of the model; exit code 3 where too many may."""
    from outfield.guard.bundle import Bundle
    from outfield.guard.recheck import recheck as rechecked

    found, made = rechecked(Bundle.load(bundle), data, original=original, other=model, limit=limit, device=device)
    print(found.said)
    print(found.verdict)
    if not found.passed:
        raise Exit(FAILED)
    if output is not None:
        print(f"Bundle: {made.save(output)}")


@group.command()
def audit(
    folder: Annotated[Path, Argument(help="A service's --audit.")],
    *,
    alpha: Annotated[float, Option(help="Share of ID items that was promised to be flagged at most.")] = 0.05,
    delta: Annotated[float, Option(help="Share of audits in which the answer may be wrong.")] = 0.05,
) -> None:
    """What the labels that came back say: is the promise kept, how often is the model wrong; exit code 3 if broken."""
    from outfield.guard.feedback import audited

    found = audited(folder, alpha=alpha, delta=delta)
    print(f"{found.answers:,} answers, {found.marked:,} marked for audit, {found.labelled:,} of them with a label.")
    if found.volunteered:
        print(f"{found.volunteered:,} labels of answers that were not marked count nowhere: they are no random sample.")
    print(f"Flagged among ID inputs: {_known(found.false_alarms)}; certainly at most {found.bound:.2%}.")
    print(f"Passed among OOD inputs: {_known(found.misses)}.")
    if found.wrong is not None:
        print(f"Wrong answers: {_known(found.wrong)}, certified.")
    if found.wrong_powered is not None:
        print(f"Wrong answers, with the flags of all answers: {_known(found.wrong_powered)}, prediction-powered.")
    print(found.said)
    if found.verdict == "broken":
        raise Exit(FAILED)


def _known(found: Estimate) -> str:
    return f"{found.value:.2%} [{found.low:.2%}, {found.high:.2%}] of {found.n:,}" if found.n else "none labelled"


@group.command()
def dashboard(
    log: Annotated[Path, Argument(help="A service's --audit.")],
    *,
    output: Annotated[Path, Option("--output", "-o", help="The .html file.")],
    bundle: Annotated[Path | None, Option(help="The bundle, for a log that an older outfield wrote.")] = None,
) -> None:
    """The guard's page from its audit log, as one file; `outfield serve LOG` shows it live."""
    from outfield.cli._extras import need

    need("fastapi", extra="serve")
    from outfield.dashboard.guard_page import save, view_of_log
    from outfield.guard.bundle import Bundle

    found = view_of_log(log, None if bundle is None else Bundle.load(bundle))
    print(f"Page: {save(found, output)}")


@group.command()
def acknowledge(
    address: Annotated[str, Argument(help="Of the service: http://127.0.0.1:8643, say.")],
    *,
    note: Annotated[str, Option(help="What was found, for the audit log.")] = "",
    token: Annotated[
        str | None, Option(envvar="OUTFIELD_TOKEN", help="The service's --admin-token, or its token.")
    ] = None,
) -> None:
    """Say that an alarm was seen: the monitor begins anew, and the audit log keeps the note."""
    from outfield.cli._http import posted

    found = posted(f"{address.rstrip('/')}/acknowledge", {"note": note}, token)
    for way, at in found["acknowledged"].items():
        print(f"Acknowledged: scores {'rise' if way == 'up' else 'fall'}, alarm after {at:,.0f} inputs.")
    print(found["said"])


@group.command()
def grafana() -> None:
    """The dashboard for Grafana, as JSON to import."""
    from outfield.guard.metrics import grafana as dashboard

    print(dashboard(), end="")


@group.command()
def serve(
    bundle: Annotated[Path, Argument(help="Folder of a bundle, or an .onnx file of `guard export`.")],
    *,
    model: Annotated[str | None, Option(help="The model; without it requests bring logits and features.")] = None,
    name: Annotated[str, Option(help="The model's name in addresses.")] = "model",
    host: Annotated[str, Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Option(min=0, max=65535, help="Port to listen on.")] = 8643,
    token: Annotated[str | None, Option(help="What a request must show; made and printed where one is needed.")] = None,
    admin_token: Annotated[str | None, Option(help="What requests for /reload and /bundle must show instead.")] = None,
    audit: Annotated[
        Path | None, Option(help="Folder of the audit log; with it the monitor survives a restart.")
    ] = None,
    audit_share: Annotated[float, Option(help="Share of answers that are marked for audit, at random.")] = 0.01,
    audit_key: Annotated[Path | None, Option(help="Key of the hashes in the log; made in its folder.")] = None,
) -> None:
    """Answer over HTTP: scores, verdicts, a monitor, metrics, and a page at /dashboard/; see docs/guard.md."""
    from outfield.cli._extras import need

    need("fastapi", "uvicorn", "prometheus_client", extra="serve")
    from outfield.cli._plain import say
    from outfield.dashboard.guard_page import with_page
    from outfield.dashboard.security import LOOPBACK
    from outfield.dashboard.server import ANY, listening, run, settled
    from outfield.guard.audit import Audit
    from outfield.guard.service import Service, app_of

    token = settled(host, token)
    admin = None if admin_token is None else settled(host, admin_token)
    log = None if audit is None else Audit(audit, probability=audit_share, key=audit_key)
    service = Service(bundle, model, name=name, audit=log)
    with listening(host, port) as door:
        where = f"http://{host or 'localhost'}:{door.getsockname()[1]}"
        shown = "" if token is None else f"  Token: {token}"
        opened = "" if token is None else f"?token={token}"
        try:
            app = with_page(
                app_of(service, token, admin), service, token=token,
                hosts=("*",) if host in ANY else {host.lower(), *LOOPBACK},
            )  # fmt: skip
            run(
                app, door, lambda: say(f"Guard: {where}  (Ctrl-C ends it){shown}\nIts page: {where}/dashboard/{opened}")
            )
        finally:
            service.close()
