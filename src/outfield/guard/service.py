"""The guard as a service: scores and verdicts over HTTP, in the Open Inference Protocol and in plain JSON.

One thread computes, a bounded queue waits for it: where it is full the answer is 429 at once. Nothing waits for a
larger batch. A reload swaps the bundle after it has loaded and scored its canaries; every answer names the digest that
gave it.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from fastapi import FastAPI, Request
from prometheus_client import generate_latest
from starlette.responses import JSONResponse, Response

from outfield.errors import UserError
from outfield.guard.audit import Audit, pairs
from outfield.guard.description import monitor_with_mirror
from outfield.guard.http_token import Token
from outfield.guard.metrics import Counts
from outfield.guard.monitor import Monitor
from outfield.guard.onnx_backend import OnnxGuard
from outfield.guard.verdicts import Answers, Verdicts
from outfield.types import Array

if TYPE_CHECKING:
    from outfield.guard.bundle import Bundle
    from outfield.guard.guarded import Guarded
    from outfield.guard.recent_accuracy import RecentAccuracy

    Loaded: TypeAlias = tuple[Bundle | OnnxGuard, Guarded | OnnxGuard | None, Monitor]

DATATYPES = {"FP32": np.float32, "FP64": np.float64, "FP16": np.float16, "INT64": np.int64, "UINT8": np.uint8}
"""Of the Open Inference Protocol, those that are read."""
FIELDS = ("logits", "features")
MOST_NOTE = 1_000
"""Characters of the note of an acknowledgement."""
NONE_KNOWN = (
    "No accuracy is estimated: the bundle holds no labelled answers. Build it with labelled calibration data of a "
    "classifier, and serve it with torch."
)


@dataclass(frozen=True)
class Limits:
    """What one request may ask.

    Parameters
    ----------
    bytes, items : int
        Of a request's body, and its inputs.
    depth : int
        Lists within lists of its JSON.
    waiting : int
        Requests in the queue; one more is answered with 429.
    seconds : float
        Until an answer must be there; then the answer is 504.
    """

    bytes: int = 32 * 2**20
    items: int = 4096
    depth: int = 12
    waiting: int = 64
    seconds: float = 30.0


class Refused(Exception):
    """A request that is not answered, with the status that says why."""

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        super().__init__(text)


class Service:
    """A guard, the monitor of what it answers, and its counts.

    Parameters
    ----------
    bundle : path of a bundle, or of a graph (.onnx) that ``guard export`` wrote: it is served without torch
    model : Model or object, optional
        The guarded model; without one, requests bring ``logits`` and ``features``.
    name : str
        The model's name in addresses.
    audit : Audit, optional
        The log of what is answered; with it the monitor survives a restart. It is closed with the service.
    """

    def __init__(
        self,
        bundle: Path | str,
        model: Any = None,
        *,
        name: str = "model",
        limits: Limits | None = None,
        audit: Audit | None = None,
        **options: Any,
    ) -> None:
        self.path, self.name, self.limits, self.audit = Path(bundle), name, limits or Limits(), audit
        self._model, self._options = model, options
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="guard")
        self.waiting, self.draining = 0, False
        self.counts = Counts()
        self.bundle, self.guard, monitor = self._loaded()
        self.monitor = monitor if audit is None else audit.resumed(monitor, self.bundle.manifest.digest)
        self.accuracy: RecentAccuracy | None = None
        self._describe()
        self._opening = self._worker.submit(_open, self.guard)

    @property
    def not_ready(self) -> str:
        """Why no request should come yet, or any more; empty where it may."""
        if self.draining:
            return "It is shutting down."
        if not self._opening.done():
            return "The model is being opened."
        guard = self.guard
        opened = guard is None or isinstance(guard, OnnxGuard) or guard.is_open
        return "" if opened else str(self._opening.exception())

    def _loaded(self) -> Loaded:
        if self.path.suffix == ".onnx":
            graph = OnnxGuard.load(self.path)
            return graph, graph, monitor_with_mirror(graph)
        from outfield.guard.bundle import Bundle
        from outfield.guard.guarded import Guarded

        bundle = Bundle.load(self.path)
        guard = None if self._model is None else Guarded(self._model, bundle, self._options)
        return bundle, guard, monitor_with_mirror(bundle)

    def _describe(self) -> None:
        """Say of which bundle counts, log and estimates are from now on."""
        self.counts.say(self.bundle)
        if self.audit is not None:
            self.audit.describe(self.bundle)
        if self.accuracy is not None:
            self.accuracy.close()
        self.accuracy = self._accuracy()

    def _accuracy(self) -> RecentAccuracy | None:
        """What estimates the accuracy on recent inputs, where the bundle holds labelled answers."""
        if isinstance(self.bundle, OnnxGuard) or "known/logits" not in self.bundle.state:
            return None
        from outfield.guard.recent_accuracy import RecentAccuracy

        logits, labels = (self.bundle.state[f"known/{name}"].numpy() for name in ("logits", "labels"))
        digest, audit = self.bundle.manifest.digest, self.audit
        told = (lambda _: None) if audit is None else (lambda found: audit.estimated(found, digest))
        return RecentAccuracy(logits, labels, self.bundle.ladder, told)

    async def acknowledge(self, note: str) -> dict[str, Any]:
        """Say that the alarm was seen: the monitor begins anew.

        Raises
        ------
        Refused
            There is no alarm (409).
        """
        return dict(await self.asked(partial(self._acknowledge, note)))

    def _acknowledge(self, note: str) -> dict[str, Any]:
        watch = self.monitor
        seen = {name: one.alarmed_at for name, one in watch.directions.items() if one.alarm}
        if not seen:
            raise Refused(409, "Expected an alarm to acknowledge, but there is none. Nothing was changed.")
        watch.acknowledge()
        self.counts.acknowledged.inc()
        if self.audit is not None:
            self.audit.acknowledge(note, self.bundle.manifest.digest)
            self.audit.keep(watch, self.bundle.manifest.digest)
        return {"acknowledged": seen, "items": watch.items, "said": promise_of(watch)}

    async def asked(self, work: Callable[[], Any]) -> Any:
        """What ``work`` gives, from the one thread that computes.

        Raises
        ------
        Refused
            The queue is full (429), the service is going down (503), or the answer takes too long (504).
        """
        if self.draining:
            raise Refused(503, "Expected a service that takes requests, but this one is shutting down. Ask another.")
        if self.waiting >= self.limits.waiting:
            raise Refused(429, f"Expected room in the queue, but {self.waiting} requests wait. Ask again later.")
        self.waiting += 1
        loop = asyncio.get_running_loop()
        task = loop.run_in_executor(self._worker, work)
        task.add_done_callback(lambda _: self._left())
        try:
            return await asyncio.wait_for(asyncio.shield(task), self.limits.seconds)
        except TimeoutError:
            raise Refused(
                504, f"Expected an answer within {self.limits.seconds:g} s, but there is none. Send less."
            ) from None

    def _left(self) -> None:
        self.waiting -= 1

    async def reload(self) -> str:
        """Load the bundle's folder again, and answer from it once it is known to be whole; its digest."""
        loop = asyncio.get_running_loop()
        loaded = await loop.run_in_executor(None, self._loaded)
        await loop.run_in_executor(None, _open, loaded[1])
        await self.asked(partial(self._swap, loaded))
        return self.bundle.manifest.digest

    def _swap(self, loaded: Loaded) -> None:
        same = loaded[0].manifest.digest == self.bundle.manifest.digest
        self.bundle, self.guard, monitor = loaded
        if not same:
            self.monitor = monitor
            self._describe()

    def of_values(self, fields: Mapping[str, Array]) -> dict[str, Any]:
        """Verdicts of logits and features."""
        found = self.bundle.score(None, **fields)
        return self._told(fields, self.bundle, found, _classes(self.bundle, fields), fields.get("logits"))

    def of_inputs(self, inputs: Array) -> dict[str, Any]:
        """Predictions and verdicts of inputs of the model."""
        if self.guard is None:
            raise UserError(
                f"Expected {' and '.join(FIELDS)}, for this service has no model, but got inputs. Send those."
            )
        found = self._answers(self.guard, inputs)
        return self._told({"inputs": inputs}, self.guard.bundle, found.verdicts, found.prediction, found.logits)

    @staticmethod
    def _answers(guard: Guarded | OnnxGuard, inputs: Array) -> Answers:
        if isinstance(guard, OnnxGuard):
            return guard(inputs)
        from outfield.data.user_data import dataset

        return Answers.joined(list(guard.stream(dataset(inputs))))

    def _told(
        self,
        fields: Mapping[str, Array],
        bundle: Bundle | OnnxGuard,
        found: Verdicts,
        predicted: Array | None,
        logits: Array | None,
    ) -> dict[str, Any]:
        self.monitor.update(found.score)
        self.counts.add(found, self.monitor)
        said = {} if predicted is None else {"prediction": predicted.tolist()}
        if self.audit is not None:
            marks = self.audit.add(fields, found, predicted, bundle.manifest.digest, self.monitor)
            said |= {"answer": marks.answer, "audit": marks.audit}
        if self.accuracy is not None and logits is not None:
            self.accuracy.add(logits, found.score)
        return said | {
            "score": _plain(found.score), "p": _plain(found.p), "verdict": found.verdict.tolist(),
            "threshold": bundle.threshold, "digest": bundle.manifest.digest,
        }  # fmt: skip

    def close(self) -> None:
        """Answer what waits, and take nothing more."""
        self.draining = True
        self._worker.shutdown(wait=True)
        if self.accuracy is not None:
            self.accuracy.close()
        if self.audit is not None:
            self.audit.keep(self.monitor, self.bundle.manifest.digest)
            self.audit.close()


def _open(guard: Guarded | OnnxGuard | None) -> None:
    """Open a guard's model, where it has one that is not open."""
    if guard is not None and not isinstance(guard, OnnxGuard):
        guard.start()


def promise_of(watch: Monitor) -> str:
    """What a monitor promises from now on."""
    sure, either = 1 - watch.ladder.delta, watch.run_length / len(watch.directions)
    both = f" (of both directions together: {either:,.0f})" if watch.mirror is not None else ""
    return (
        f"The monitor begins anew after {watch.items:,.0f} inputs. While nothing changes, its next false alarm comes "
        f"after {watch.run_length:,.0f} inputs{both} on average, at least, with probability {sure:.0%} over "
        "calibrations."
    )


def _classes(bundle: Bundle | OnnxGuard, fields: Mapping[str, Array]) -> Array | None:
    """The predicted classes, by name where the bundle knows them; None without logits of classes."""
    logits, model = fields.get("logits"), bundle.manifest.model
    if logits is None or model.n_classes is None:
        return None
    numbers: Array = np.asarray(logits).argmax(axis=1)
    return numbers if model.classes is None else np.array(model.classes, dtype=object)[numbers]


def _plain(values: Array) -> list[float | None]:
    """Numbers as JSON knows them: NaN is null."""
    return [None if math.isnan(one) else one for one in values.tolist()]


def app_of(service: Service, token: str | None = None, admin: str | None = None) -> FastAPI:
    """The HTTP application of a service.

    ``/v2/models/NAME/infer`` is of the Open Inference Protocol; ``/score`` takes ``{"logits": ..., "features": ...}``
    or ``{"inputs": ...}``; ``/feedback`` takes true labels; ``/bundle``, ``/monitor``, ``/metrics``,
    ``/accuracy``, ``/healthz``, ``/readyz``, ``/reload`` and ``/acknowledge`` say and do what they are called.

    Parameters
    ----------
    token : str, optional
        What every request but those of health must show, as ``Authorization: Bearer``.
    admin : str, optional
        What requests for ``/reload``, ``/acknowledge`` and ``/bundle`` must show instead; it opens the others too.
    """
    app = FastAPI(title="outfield guard", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(
        Token,
        token=token,
        free=("/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"),
        admin=admin,
        of_admin=("/reload", "/bundle", "/acknowledge"),
    )

    @app.middleware("http")
    async def counted(request: Request, call: Any) -> Response:
        start = time.perf_counter()
        answer: Response = await call(request)
        service.counts.seconds.observe(time.perf_counter() - start)
        service.counts.requests.labels(str(answer.status_code)).inc()
        return answer

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> Response:
        return JSONResponse({"error": str(error)}, error.status, {"Retry-After": "1"} if error.status == 429 else {})

    @app.exception_handler(UserError)
    async def mistaken(_: Request, error: UserError) -> Response:
        return JSONResponse({"error": str(error)}, 400)

    _health(app, service)
    _answers(app, service)
    return app


def _health(app: FastAPI, service: Service) -> None:
    @app.get("/healthz")
    @app.get("/v2/health/live")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @app.get("/readyz")
    @app.get("/v2/health/ready")
    @app.get(f"/v2/models/{service.name}/ready")
    async def ready() -> Response:
        audit = {} if service.audit is None else {"audit": service.audit.health()}
        why = service.not_ready
        said = {"ready": not why} | ({"why": why} if why else {})
        return JSONResponse(said | audit, 503 if why else 200)

    @app.get("/metrics")
    async def metrics() -> Response:
        service.counts.look(service.monitor, service.waiting, service.audit, service.accuracy)
        return Response(generate_latest(service.counts.registry), media_type="text/plain; version=0.0.4")

    @app.get("/bundle")
    async def bundle() -> Any:
        return service.bundle.manifest.model_dump()

    @app.get("/monitor")
    async def monitor() -> Any:
        watch = service.monitor
        mirror = {} if watch.mirror is None else {"mirror": _said(watch.mirror)}
        return _said(watch) | {"clumps": None if math.isnan(watch.clumps()) else watch.clumps()} | mirror

    @app.get("/accuracy")
    async def accuracy() -> Any:
        return accuracy_of(service)

    @app.post("/acknowledge")
    async def acknowledge(request: Request) -> dict[str, Any]:
        note = (await _body(request, service.limits)).get("note", "")
        if not isinstance(note, str) or len(note) > MOST_NOTE:
            raise UserError(f"Expected a note of at most {MOST_NOTE:,} characters, but got another. Shorten it.")
        return await service.acknowledge(note)

    @app.post("/reload")
    async def reload() -> dict[str, str]:
        return {"digest": await service.reload()}


def _said(watch: Monitor) -> dict[str, Any]:
    return {
        "items": watch.items, "alarm": watch.alarm, "alarmed_at": watch.alarmed_at,
        "rungs": [
            {"rate": float(rate), "flags": float(watch.flags[place]), "interval": watch.flag_rate(place)}
            for place, rate in enumerate(watch.ladder.rates)
        ],
    }  # fmt: skip


def accuracy_of(service: Service) -> dict[str, Any]:
    """How accurate the model probably is on recent inputs, and of which part of them that speaks."""
    if service.accuracy is None:
        return {"estimates": {}, "trust": NONE_KNOWN}
    if (found := service.accuracy.latest) is None:
        return {"estimates": {}, "trust": f"No estimate yet: it is made of {service.accuracy.window:,} inputs."}
    return {
        "estimates": {
            name: {"accuracy": one.value, "low": one.low, "high": one.high, "n": one.n}
            for name, one in found.estimates.items()
        },
        "known": found.known.value, "ood_share": found.ood_share, "trust": found.trust,
        "seconds_ago": time.monotonic() - service.accuracy.made,
    }  # fmt: skip


def _answers(app: FastAPI, service: Service) -> None:
    @app.get(f"/v2/models/{service.name}")
    async def about() -> Any:
        return {
            "name": service.name, "platform": "outfield", "versions": [service.bundle.manifest.digest],
            "inputs": [{"name": one, "datatype": "FP32", "shape": [-1, -1]} for one in ("inputs", *FIELDS)],
            "outputs": [{"name": one, "datatype": kind, "shape": [-1]} for one, kind in _OUTPUTS.items()],
        }  # fmt: skip

    @app.post(f"/v2/models/{service.name}/infer")
    async def infer(request: Request) -> Any:
        body = await _body(request, service.limits)
        said = await service.asked(_work(service, _tensors(body, service.limits)))
        outputs = [_output(name, said[name]) for name in _OUTPUTS if name in said]
        return {"model_name": service.name, "model_version": said["digest"], "id": body.get("id"), "outputs": outputs}

    @app.post("/score")
    async def score(request: Request) -> Any:
        body = await _body(request, service.limits)
        fields = {name: _array(body[name], name, service.limits) for name in (*FIELDS, "inputs") if name in body}
        return await service.asked(_work(service, fields))

    @app.post("/feedback")
    async def feedback(request: Request) -> dict[str, int]:
        if service.audit is None:
            raise Refused(404, "Expected an audit log, but this service keeps none. Start it with --audit FOLDER.")
        body = await _body(request, service.limits)
        told = pairs(body["feedback"] if isinstance(body.get("feedback"), list) else [body])
        _check_items(len(told), service.limits)
        answers, labels = zip(*told, strict=True)
        service.audit.feedback.add({"answer": answers, "label": labels})
        return {"taken": len(told)}


_OUTPUTS = {
    "prediction": "BYTES", "score": "FP64", "p": "FP64", "verdict": "BYTES", "answer": "BYTES", "audit": "BOOL",
}  # fmt: skip


def _output(name: str, values: list[Any]) -> dict[str, Any]:
    told = [str(one) for one in values] if name == "prediction" else values
    return {"name": name, "datatype": _OUTPUTS[name], "shape": [len(values)], "data": told}


def _work(service: Service, fields: Mapping[str, Array]) -> Callable[[], dict[str, Any]]:
    if "inputs" in fields:
        return partial(service.of_inputs, fields["inputs"])
    if not fields:
        raise UserError(f"Expected {', '.join(FIELDS)} or inputs in the request, but got none. Send one of them.")
    return partial(service.of_values, fields)


async def _body(request: Request, limits: Limits) -> dict[str, Any]:
    """The JSON of a request, read within limits."""
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > limits.bytes:
            raise Refused(
                413, f"Expected a request of at most {limits.bytes:,} bytes, but got more. Send fewer inputs."
            )
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        raise UserError("Expected a request of JSON, but it cannot be read. Send an object.") from None
    if not isinstance(body, dict):
        raise UserError(f"Expected a JSON object, but got {type(body).__name__}. Send an object.")
    return body


def _tensors(body: Mapping[str, Any], limits: Limits) -> dict[str, Array]:
    """The inputs of the Open Inference Protocol."""
    given = body.get("inputs")
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise UserError("Expected inputs as a list of tensors with name, shape, datatype and data. Send those.")
    found = {}
    for one in given:
        kind, shape = one.get("datatype"), one.get("shape")
        if kind not in DATATYPES:
            raise UserError(f"Expected a datatype of {', '.join(DATATYPES)}, but got {kind!r}. Convert it.")
        values = _array(one.get("data"), str(one.get("name")), limits, DATATYPES[kind], flat=True)
        if not isinstance(shape, list) or not all(isinstance(n, int) and n >= 0 for n in shape):
            raise UserError(f"Expected a shape of whole numbers, but got {shape!r}. Send one.")
        if math.prod(shape) != values.size:
            raise UserError(
                f"Expected {math.prod(shape)} numbers for the shape {shape}, but got {values.size}. Send all."
            )
        _check_items(shape[0] if shape else 0, limits)
        found[str(one.get("name"))] = values.reshape(shape)
    if strange := sorted(set(found) - {*FIELDS, "inputs"}):
        raise UserError(f"Expected tensors called {', '.join(FIELDS)} or inputs, but got {strange[0]!r}. Rename it.")
    return found


def _array(values: Any, name: str, limits: Limits, kind: Any = np.float32, *, flat: bool = False) -> Array:
    if not isinstance(values, list) or _depth(values, limits.depth) > limits.depth:
        raise UserError(f"Expected {name} as lists of numbers, at most {limits.depth} deep. Send those.")
    try:
        found = np.asarray(values, dtype=kind)
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"Expected {name} as numbers in rows of equal length, but got others. Send those.") from None
    if not flat:
        _check_items(len(found), limits)
    return _bytes(values, found) if name == "inputs" and found.ndim == 4 else found


def _bytes(values: list[Any], found: Array) -> Array:
    """Pictures of whole numbers from 0 to 255 as bytes, for models scale these and take other numbers as they are."""
    given = np.asarray(values)
    if given.dtype.kind == "i" and given.min() >= 0 and given.max() <= 255:
        return given.astype(np.uint8)
    return found


def _check_items(n: int, limits: Limits) -> None:
    if not 0 < n <= limits.items:
        raise UserError(f"Expected 1 to {limits.items:,} inputs, but got {n:,}. Send them in parts.")


def _depth(values: Any, most: int) -> int:
    """How deep lists nest, counted to one above the limit, along the first of each."""
    depth = 0
    while isinstance(values, list) and values and depth <= most:
        values, depth = values[0], depth + 1
    return depth
