"""What `outfield track` reads: a study of training runs, of classifiers of pictures or of any task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from outfield.errors import UserError
from outfield.studies.spec import Named, Plugin, Spec
from outfield.trajectory.schedule import log_spaced_then_even


class Strict(BaseModel):
    """Unknown fields are an error, and values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Checkpoints(Strict):
    """When to measure: before training, log-spaced, then at equal distances."""

    early: int = Field(8, ge=0, description="Log-spaced steps up to the first even one.")
    even: int = Field(16, ge=1, description="Steps at equal distances; the last is the end.")

    def steps(self, total: int) -> tuple[int, ...]:
        """The steps of a run of ``total``."""
        return log_spaced_then_even(total, early=self.early, even=self.even)


class SameLabels(Strict):
    """A test set of the ID classes from elsewhere: another source, another style."""

    name: str
    source: Named


class Trajectory(Spec):
    """A study of training runs: an ordinary study, measured at checkpoints.

    Shifts and ``same_labels`` give accuracies, detectors on the OOD sets AUROCs. The ID side of the AUROCs is the
    validation split: no item of the ID accuracy is in them.
    """

    kind: Literal["vision", "task"] = "vision"
    checkpoints: Checkpoints = Checkpoints()
    same_labels: tuple[SameLabels, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _of_a_task(cls, content: Any) -> Any:
        return {"kind": "task", **content} if isinstance(content, dict) and "task" in content else content

    @model_validator(mode="after")
    def _measurable(self) -> Trajectory:
        if problems := [*self._unfit()]:
            raise ValueError("\n".join(problems))
        return self

    def _unfit(self) -> Iterator[str]:
        for i, model in enumerate(self.models):
            if not hasattr(model, "strategy"):
                yield f"models[{i}]: expected a strategy to train by, but got stored weights, which have no run"
        yield from unfit(self.detectors, {f"same_labels[{i}]": one.source for i, one in enumerate(self.same_labels)})


def unfit(detectors: Iterable[Plugin], sources: Mapping[str, Plugin]) -> Iterator[str]:
    """What keeps detectors and sources from a study of training runs."""
    for where, source in sources.items():
        try:
            source.build("sources")
        except UserError as error:
            yield f"{where}.source: {error}"
    for i, detector in enumerate(detectors):
        try:
            detector.build("detectors")
        except UserError as error:
            yield f"detectors[{i}]: {error}"
