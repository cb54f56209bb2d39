"""Models of scikit-learn's interface: classifiers with ``decision_function`` or ``predict_proba``, and regressors."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from outfield import keys
from outfield.data import labels
from outfield.data.base import Items
from outfield.errors import UnknownName, UserError, listed
from outfield.models.heads import FLOOR
from outfield.models.libraries import library
from outfield.models.preprocess import Preprocess, Table, code_of, shown, stated
from outfield.types import Head, Outputs

WIDEST = 20_000
"""Most features that are kept for each input."""


class SklearnModel:
    """A fitted classifier or regressor, or a pipeline that ends in one.

    Logits are ``decision_function`` where there is one with a column for each class, halved with both signs for two
    classes, so that their softmax is what the classifier means; otherwise the logarithm of ``predict_proba``. The
    features are what goes into the last step of a pipeline, and the inputs of a bare classifier. A regressor has no
    logits but predictions [n, k], one column for each target.

    Parameters
    ----------
    estimator : fitted classifier or regressor
    example : Items, optional
        A few items, to check the linear head with; by default noise where the inputs are numbers.
    preprocess : callable, optional
        Items to rows of numbers, before the pipeline; by default numbers are flattened and left as they are.
    features : str, optional
        ``inputs``, or the name of the step whose output they are.
    name : str
    classes : sequence of str, optional
        By default the estimator's ``classes_``.

    Raises
    ------
    UserError
        It is not fitted, is no classifier or regressor, judges pairs of classes, or has no such step.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> model = SklearnModel(LogisticRegression().fit([[0.0], [1.0]], ["no", "yes"]), name="tiny")
    >>> model
    SklearnModel('tiny', logits of decision_function, features inputs,
                 head 'LogisticRegression' [2 classes, 1 features])
    >>> model.forward(model.prepare(np.array([[2.0]]))).logits
    tensor([[-0.3...,  0.3...]], dtype=torch.float64)
    """

    layers: tuple[str, ...] = ()

    def __init__(
        self,
        estimator: Any,
        example: Items | None = None,
        *,
        preprocess: Preprocess | None = None,
        features: str | None = None,
        name: str | None = None,
        classes: Sequence[str] | None = None,
    ) -> None:
        self.name, self.forwards = name or type(estimator).__name__, 0
        self.estimator = estimator
        self.regresses = is_regressor(estimator)
        (_check_fitted_regressor if self.regresses else _check_fitted)(estimator)
        self.method = "predict" if self.regresses else _method(estimator)
        self.classes = None if self.regresses else _class_names(estimator, classes)
        self._before, self._after, self.features_name = _cut(estimator, features)
        self.columns: int | None = getattr(estimator, "n_features_in_", None)
        self.preprocess = preprocess
        self.named = _column_names(estimator)
        self.last = self._after.steps[-1][1] if hasattr(self._after, "steps") else self._after
        self._linear: Head | None = None
        self._linear = self._found_head(example)

    def _found_head(self, example: Items | None) -> Head | None:
        """The coefficients of the last step, where they give the logits from the features of the example."""
        head = None if self.regresses else _coefficients(self.last)
        if example is None and self.columns and head is not None:
            return self._found_on_noise(self.columns)
        if example is None or not len(example):
            return None
        x = self.prepare(example)
        if x.isnan().any():
            self.features_name = ""
            return None
        if head is None:
            return None
        out = self.forward(x)
        self.forwards = 0
        if not out.has("features") or out.features.shape[1] != head.weight.shape[1]:
            return None
        gap = (head(out.features) - out.logits).abs().max()
        return head if gap <= 1e-4 * max(1.0, float(out.logits.abs().max())) else None

    def _found_on_noise(self, columns: int) -> Head | None:
        """The head, checked with noise; none where the inputs are no numbers."""
        try:
            return self._found_head(np.random.default_rng(0).random((4, columns)))
        except UserError:
            return None

    def __repr__(self) -> str:
        head = "no linear head"
        if self._linear is not None:
            classes, width = self._linear.weight.shape
            head = f"head {type(self.last).__name__!r} [{classes} classes, {width} features]"
        before = f", preprocess {shown(self.preprocess)}" if self.preprocess else ""
        features = f"features {self.features_name}" if self.features_name else "no features, since numbers are missing"
        says = "predictions" if self.regresses else f"logits of {self.method}"
        return f"SklearnModel({self.name!r}, {says}, {features}, {head}{before})"

    @property
    def head(self) -> Head | None:
        return self._linear

    @property
    def offers(self) -> frozenset[str]:
        has = {"logits": not self.regresses, "features": self.features_name, "head": self._linear}
        return frozenset(name for name, value in has.items() if value)

    @property
    def input_std(self) -> Tensor:
        return torch.ones(())

    @property
    def input_mean(self) -> Tensor:
        return torch.zeros(())

    def prepare(self, batch: Items) -> Tensor:
        """The rows after the steps of the pipeline that come before the features, [n, D].

        Raises
        ------
        UserError
            Columns of the estimator that the rows lack; rows that it cannot take.
        """
        rows = self._rows(batch)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="X does not have valid feature names")
            values = self._asked(rows, self._before.transform) if self._before is not None else rows
        return torch.from_numpy(_dense(values))

    def _rows(self, batch: Items) -> Any:
        if self.preprocess is None and isinstance(batch[0], str) and (self.named or self._before is not None):
            return list(batch) if not self.named else _frame([[text] for text in batch], self.named)
        if self.preprocess is None and isinstance(batch[0], Mapping) and (self.named or self._encodes(batch)):
            return self._framed(batch)
        batch = self._ordered(batch) if self.preprocess is None and self.named else batch
        rows: Any = (self.preprocess or Table(self.columns, double=True, missing=True))(batch).numpy()
        return _frame(rows, self.named) if self.named else rows

    def _ordered(self, batch: Items) -> Items:
        """Rows of a table whose columns have names, in the order that the estimator was fitted on."""
        columns = list(getattr(batch, "columns", ()))
        if not columns or tuple(columns) == self.named:
            return batch
        self._check_columns(columns)
        return np.asarray(batch)[:, [columns.index(name) for name in self.named]]

    def _check_columns(self, columns: Sequence[str]) -> None:
        if absent := [name for name in self.named if name not in columns]:
            raise UserError(
                f"Expected the columns that {type(self.last).__name__} was fitted on, but {listed(absent)} "
                f"{'is' if len(absent) == 1 else 'are'} not among {', '.join(map(str, columns[:8]))}. Add them."
            )

    def _encodes(self, batch: Items) -> bool:
        """Whether a step of the pipeline has to make numbers of these records."""
        texts = any(isinstance(value, str) for record in batch for value in record.values())
        return self._before is not None and texts

    def _framed(self, batch: Items) -> Any:
        """The rows as a frame: of the library that they came in, the columns those that the estimator was fitted on."""
        import narwhals as nw
        import polars as pl

        frame = getattr(batch, "frame", None)
        frame = nw.from_native(pl.DataFrame(list(batch))) if frame is None else frame
        self._check_columns(frame.columns)
        return (frame.select(self.named) if self.named else frame).to_native()

    def forward(self, x: Tensor, layers: Sequence[str] = ()) -> Outputs:
        """Logits (of a regressor: predictions) and features of prepared rows."""
        self.forwards += len(x)
        rows = _frame(x.numpy(), self.named) if self.named and self._before is None else x.numpy()
        values = self._asked(rows, getattr(self._after, self.method))
        if self.regresses:
            predictions = torch.from_numpy(np.asarray(values, dtype=np.float64).reshape(len(x), -1))
            return Outputs(features=x if self.features_name else None, predictions=predictions)
        logits = torch.from_numpy(_logits(np.asarray(values), self.method))
        return Outputs(logits, x if self.features_name else None, head=self._linear)

    def _asked(self, rows: Any, method: Callable[[Any], Any]) -> Any:
        """What the estimator makes of the rows; whatever it raises is told with its reason."""
        try:
            return method(rows)
        except Exception as error:  # estimators raise anything on rows that they cannot take
            reason = str(error).strip().splitlines()
            raise UserError(
                f"Expected rows that {self.name!r} can take, but it failed ({type(error).__name__}): "
                f"{reason[0] if reason else 'without a reason'} Pass rows like those that it was fitted on; where "
                "numbers are missing, pass a pipeline with an imputer, or a classifier that takes them."
            ) from error

    def evaluating(self) -> AbstractContextManager[None]:
        """Nothing to do: a fitted estimator has no training mode."""
        return nullcontext()

    def digest(self) -> str:
        """Content key of the fitted estimator, its library's version and the preprocessing."""
        return keys.key(
            estimator=content(self.estimator),
            version=library("sklearn", extra="sklearn").__version__,
            features=self.features_name,
            preprocess=None if self.preprocess is None else stated(self.preprocess),
            code=code_of(type(self)),
        )


def open_sklearn(reference: str, *, trusted: Sequence[str] = (), **options: Any) -> SklearnModel:
    """A classifier or regressor from a file of skops.

    Parameters
    ----------
    reference : str
        Path of a ``.skops`` file.
    trusted : sequence of str
        Types in the file, beside scikit-learn's own, that may be loaded.

    Raises
    ------
    MissingExtra
        skops is not installed.
    UserError
        No such file; a pickle, which could run any code; types that are not trusted.
    """
    path = Path(reference)
    if not path.is_file():
        raise UserError(f"Expected a .skops file at {path}, but there is none. Check the path.")
    if path.suffix.lower() != ".skops":
        raise UserError(
            f"Expected a .skops file, but got {path.name}: loading a pickle can run any code. If you trust it, load it "
            "yourself and pass the object, or save it safely: skops.io.dump(model, 'model.skops')."
        )
    io = library("skops.io", extra="sklearn")
    try:
        unknown = sorted(set(io.get_untrusted_types(file=path)) - set(trusted))
        if not unknown:
            return SklearnModel(io.load(path, trusted=list(trusted)), **{"name": path.stem, **options})
    except Exception as error:  # zip, JSON and skops each raise their own
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"Expected a model saved by skops in {path}, but it cannot be read: {error}. Save it again."
        ) from None
    raise UserError(
        f"Expected only types of scikit-learn in {path.name}, but it holds {', '.join(unknown)}. If you trust them: "
        f"open_model('sklearn:{path}', trusted={unknown}), or on the command line "
        f"{' '.join(f'--trust {name}' for name in unknown)}."
    )


def content(value: Any, within: frozenset[int] = frozenset()) -> Any:
    """The content of any Python value as JSON can state it: arrays by their digests, objects by class and state.

    Examples
    --------
    >>> content({"b": (1, 2.5), "a": None})
    [['a', None], ['b', [1, 2.5]]]
    """
    if id(value) in within:
        return "itself"
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, bytes):
        return keys.digest(value)
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if inspect.isroutine(value):
        return code_of(value)
    return _content_of_parts(value, within | {id(value)})


def _content_of_parts(value: Any, within: frozenset[int]) -> Any:
    if isinstance(value, np.ndarray):
        return _content_of_array(value, within)
    if isinstance(value, Mapping):
        return [[content(name, within), content(value[name], within)] for name in sorted(value, key=str)]
    if isinstance(value, (set, frozenset)):
        return sorted(str(content(item, within)) for item in value)
    if isinstance(value, (list, tuple)):
        return [content(item, within) for item in value]
    reduced = value.__reduce_ex__(4)
    return reduced if isinstance(reduced, str) else [content(part, within) for part in reduced[:3]]


def _content_of_array(array: NDArray[Any], within: frozenset[int]) -> Any:
    """The digest of an array; fields one by one, since what pads them is left to chance."""
    if array.dtype.names:
        return [[name, content(array[name], within)] for name in array.dtype.names]
    return [content(item, within) for item in array.flat] if array.dtype.hasobject else keys.of_array(array)


def is_regressor(estimator: Any) -> bool:
    """Whether something is a regressor of scikit-learn's interface.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression, Ridge
    >>> is_regressor(Ridge()), is_regressor(LogisticRegression()), is_regressor("sklearn:model.skops")
    (True, False, False)
    """
    from sklearn.base import is_regressor as regresses

    return hasattr(estimator, "get_params") and bool(regresses(estimator))


def estimator_of(name: str, params: Mapping[str, Any]) -> Any:
    """An estimator of scikit-learn by the name of its class, not fitted.

    Raises
    ------
    UserError
        There is no such classifier or regressor, or it has no such parameter.

    Examples
    --------
    >>> estimator_of("Ridge", {"alpha": 2.0})
    Ridge(alpha=2.0)
    """
    from sklearn.utils import all_estimators

    known = dict(all_estimators(type_filter=["classifier", "regressor"]))
    if name not in known:
        raise UnknownName("estimators", name, sorted(known))
    try:
        return known[name](**params)
    except TypeError as error:
        raise UserError(
            f"Expected parameters of {name}, but got {', '.join(params)} ({error}). It takes "
            f"{', '.join(inspect.signature(known[name]).parameters)}."
        ) from None


def fitted(name: str, params: Mapping[str, Any], items: Items, answers: NDArray[Any], seed: int) -> Any:
    """An estimator of scikit-learn, fitted on numbers [n, D] and answers [n]; equal seeds give equal models.

    Raises
    ------
    UserError
        It cannot be fitted, with the reason.
    """
    estimator = estimator_of(name, params)
    if "random_state" in estimator.get_params():
        estimator.set_params(random_state=seed)
    try:
        return estimator.fit(Table(double=True, missing=True)(items).numpy(), answers)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"Expected {name} to fit {len(answers)} items, but it failed: {error} Choose other parameters, or another "
            "estimator."
        ) from None


def _check_fitted_regressor(estimator: Any) -> None:
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(estimator)
    except NotFittedError:
        raise UserError(
            f"Expected a fitted regressor, but {type(estimator).__name__} is not. Call fit with targets first."
        ) from None


def _check_fitted(estimator: Any) -> None:
    if not hasattr(estimator, "classes_"):
        raise UserError(
            f"Expected a fitted classifier, but {type(estimator).__name__} has no classes_. Call fit with labels first."
        )
    if isinstance(estimator.classes_, list):
        raise UserError(
            f"Expected one label for each input, but {type(estimator).__name__} was fitted on "
            f"{len(estimator.classes_)}. Fit a classifier for each."
        )


def _class_names(estimator: Any, classes: Sequence[str] | None) -> tuple[str, ...]:
    """The names of the classes: those given, else ``classes_``, whole numbers alike however they are written."""
    if classes is None:
        return tuple(labels.name(one) or "" for one in estimator.classes_)
    if len(classes) != len(estimator.classes_):
        raise UserError(
            f"Expected names for {len(estimator.classes_)} classes, but got {len(classes)}. Pass one for each of "
            f"classes_: {listed([str(one) for one in estimator.classes_])}."
        )
    return tuple(map(str, classes))


def _method(estimator: Any) -> str:
    """``decision_function`` with one column for each class (one in all for two classes), else ``predict_proba``."""
    last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    pairs = getattr(last, "decision_function_shape", "ovr") == "ovo" and len(estimator.classes_) > 2
    if hasattr(estimator, "decision_function") and not pairs:
        return "decision_function"
    if hasattr(estimator, "predict_proba"):
        return "predict_proba"
    way = "Fit it with decision_function_shape='ovr'." if pairs else "Calibrate it: CalibratedClassifierCV."
    raise UserError(
        f"Expected a classifier with a score for each class, but {type(last).__name__} gives "
        f"{'one for each pair of classes' if pairs else 'none'}. {way}"
    )


def _cut(estimator: Any, features: str | None) -> tuple[Any, Any, str]:
    """What comes before the features, what comes after, and what the features are called."""
    steps = [name for name, _ in estimator.steps] if hasattr(estimator, "steps") else []
    if features == "inputs" or (features is None and len(steps) < 2):
        return None, estimator, "inputs"
    features = features or steps[-2]
    if features not in steps[:-1]:
        raise UserError(
            f"Expected a step whose output is the features, but there is no {features!r} before the classifier. "
            f"Choose: {', '.join(['inputs', *steps[:-1]])}."
        )
    place = steps.index(features) + 1
    return estimator[:place], estimator[place:], f"step {features!r}"


def _coefficients(last: Any) -> Head | None:
    """``coef_`` and ``intercept_`` as a head; of two classes as half of either sign, as the logits are."""
    weight, bias = getattr(last, "coef_", None), getattr(last, "intercept_", None)
    if not isinstance(weight, np.ndarray) or bias is None or weight.ndim != 2:
        return None
    bias = np.broadcast_to(np.asarray(bias, dtype=np.float64), (len(weight),))
    if len(weight) == 1:
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    return Head(torch.from_numpy(np.array(weight, np.float32)), torch.from_numpy(np.array(bias, np.float32)))


def _logits(values: NDArray[Any], method: str) -> NDArray[np.float64]:
    if method == "predict_proba":
        return np.asarray(np.log(np.maximum(values, FLOOR)), dtype=np.float64)
    return np.asarray(np.stack([-values, values], axis=1) / 2 if values.ndim == 1 else values, dtype=np.float64)


def _dense(values: Any) -> NDArray[np.float64]:
    if values.shape[1] > WIDEST:
        raise UserError(
            f"Expected at most {WIDEST} features, but the last step before the classifier gives {values.shape[1]}. "
            "Add one that reduces them, such as TruncatedSVD."
        )
    dense = values.toarray() if hasattr(values, "toarray") else values
    try:
        return np.ascontiguousarray(dense, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"Expected numbers as features, but what goes into the classifier holds others ({error}). "
            "Encode them in a step of the pipeline before it."
        ) from None


def _column_names(estimator: Any) -> tuple[str, ...]:
    """The columns that the estimator was fitted on, in their order; none where they had no names."""
    return tuple(map(str, getattr(estimator, "feature_names_in_", ())))


def _frame(rows: Any, names: Sequence[str]) -> Any:
    """The rows under the column names that the estimator was fitted with."""
    import polars as pl

    return pl.DataFrame(rows, schema=list(names), orient="row")
