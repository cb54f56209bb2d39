"""The card: what is known of one model, with its pictures, its pages and the files that it is written to."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outfield.card.facts import Facts
from outfield.card.production import Production, Promise
from outfield.errors import UserError
from outfield.places import place
from outfield.store.write import atomically, write_text

if TYPE_CHECKING:
    import altair as alt

    from outfield.data.base import Dataset
    from outfield.features.cache import Cache
    from outfield.guard.bundle import Bundle
    from outfield.models.base import Model

FAR = 0.05
"""Share of ID inputs that a guard may flag, unless another is asked for."""
ENDINGS = (".html", ".json", ".parquet", ".md")


def check_ending(path: Path) -> Path:
    """The path of a card; ``UserError`` where its ending is none that a card is written as."""
    if path.suffix not in ENDINGS:
        raise UserError(f"Expected a file of {', '.join(ENDINGS)}, but got {path.name!r}. Choose one of these.")
    return path


@dataclass(frozen=True)
class Origin:
    """What a card was made from: the model, the data that detectors were fitted, held back and chosen on, the cache."""

    model: Model
    fit: Dataset
    held: Dataset | None
    selected: tuple[Dataset, ...]
    cache: Cache


class Card(Facts):
    """What one model does on ID data, under covariate shift and on OOD data, to look at and to write; see ``Facts``."""

    origin: Origin | None = None
    """The model and the data that the card was made from, while they are at hand; a card of a study has none."""

    def guard(self, path: str | Path, *, detector: str | None = None, far: float = FAR, calibrate: Any = None) -> Path:
        """Build a guard of this model with the recommended detector, and write its bundle; see ``guard.build.build``.

        Parameters
        ----------
        path : folder of the bundle
        detector : str, optional
            Another than the recommended one.
        far : float
            Share of ID inputs that may be flagged.
        calibrate : data, optional
            ID data that nothing saw before. By default the ID-val data that the card was given, which no detector was
            chosen on.

        Raises
        ------
        UserError
            A card of a study or of a file, which has no model; no data to calibrate on; see ``build``.

        Examples
        --------
        >>> card = outfield.evaluate(model, id_test=test, id_train=train, id_val=val, ood=ood)  # doctest: +SKIP
        >>> card.guard("pets.guard")  # doctest: +SKIP
        """
        from outfield.card.page import html

        if self.origin is None:
            raise UserError(
                "Expected a card that was just made with `evaluate`, but this one has no model. Call evaluate, "
                "or `outfield guard build MODEL --id DATA --calibrate DATA -o FOLDER`."
            )
        given = self.origin.held if calibrate is None else calibrate
        if given is None:
            raise UserError(
                "Expected ID data that nothing saw before, but the card was made without ID-val data. Pass calibrate=, "
                "or id_val= to evaluate."
            )
        return self._built(self.origin, given, detector or self.recommended, far, html(self)).save(path)

    @staticmethod
    def _built(origin: Origin, calibrate: Any, detector: str, far: float, card: str = "") -> Bundle:
        from outfield.guard.build import build

        return build(
            origin.model, fit=origin.fit, calibrate=calibrate, select=origin.selected, alpha=far, detector=detector,
            cache=origin.cache, card=card,
        )  # fmt: skip

    @cached_property
    def production(self) -> Production:
        """What ``guard`` will promise with the ID-val data that the card was given; see ``Production``."""
        origin = self.origin
        if origin is None:
            return super().production
        found = Production(self.name, self.recommended)
        if not self.sound:
            return replace(found, missing="No detector is recommended: a guard would see next to nothing.")
        if origin.held is None:
            said = "It takes ID inputs that nothing saw before: id_val= of evaluate, or calibrate= of the guard."
            return replace(found, missing=f"{said} `outfield guard plan N` says what N of them promise.")
        try:
            made = self._built(origin, origin.held, self.recommended, FAR)
        except UserError as error:
            return replace(found, missing=str(error))
        one = made.manifest.promises[0]
        promise = Promise(made.threshold, one.alpha, one.delta or 0.0, one.expected, one.n)
        return replace(found, promise=promise)

    def with_origin(self, origin: Origin) -> Card:
        """This card, which knows what it was made from."""
        object.__setattr__(self, "origin", origin)
        return self

    @classmethod
    def of_study(cls, folder: Path | str, model: str, *, cache: Cache | None = None, seed: int = 0) -> Card:
        """One model's card from a study's folder.

        The hardest inputs are those of the stored scores; they are shown where the study's data can be loaded and are
        what was measured. What the model says to each is told where the cache still holds it.

        Parameters
        ----------
        folder : path or address
        model : str
            A model's name, as the study's report shows it.
        cache : Cache, optional
            By default the user's.
        seed : int
            Of the draws behind the probability of the choice.

        Raises
        ------
        UserError
            No results, no such model (with the nearest names), or no scores of single inputs.

        Examples
        --------
        >>> Card.of_study("results/digits", "baseline-0").save("card.html")  # doctest: +SKIP
        """
        from outfield.card.study import study_facts

        found = study_facts(folder, model, cache=cache, seed=seed)
        return cls(*(getattr(found, field.name) for field in fields(found)))

    def plot(self) -> alt.TopLevelMixin:
        """The detectors by mean AUROC, and every detector on every OOD set, for a notebook."""
        import altair as alt

        from outfield.card.displays import by_set, which_detector
        from outfield.reports.displays._style import styled

        charts: list[Any] = [figure.chart for build in (which_detector, by_set) for figure in build(self).figures]
        return styled(alt.vconcat(*charts))

    def save(self, path: str | Path) -> Path:
        """Write the card.

        As ``.html`` (one file that works offline), ``.json``, ``.parquet`` (the rows), or ``.md``: into a Hugging Face
        model card, which is made where there is none; see ``outfield.card.hub``.

        Raises
        ------
        UserError
            Another ending, or the file cannot be written, or is no model card.
        """
        from outfield.card.hub import write
        from outfield.card.page import html

        path = check_ending(place(path))
        if path.suffix == ".md":
            return write(self, path)
        if path.suffix != ".parquet":
            return write_text(html(self) if path.suffix == ".html" else self.json(), path)
        with atomically(path) as temporary:
            self.rows.write_parquet(temporary)
        return path
