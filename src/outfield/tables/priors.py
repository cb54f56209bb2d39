"""What published boards say of detectors on a family of architectures, before any data of one's own."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache

import polars as pl

from outfield import registry
from outfield.errors import with_and
from outfield.tables import profile

BOARDS = "boards"
STUDIES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "imagenet200": "ImageNet-200", "imagenet1k": "ImageNet-1k"}
"""Benchmarks of near and far OOD; full-spectrum ones repeat their networks."""
FAMILIES = {"ResNet": "cnn", "RegNet": "cnn", "ViT": "transformer", "Swin": "transformer"}
BASELINE = "msp"
HALF = 0.5
"""A detector ties with the best of a board where it is as good on this share of networks: so few allow no test."""
_NAMES = {
    "EBO": ("energy",),
    "VIM": ("vim",),
    "TempScale": ("temp_scale",),
    "AdaSCALE-A": ("adascale",),
    "MDS++": ("mds_plus_plus", "mds_pp", "mdspp", "mds_plus"),
    "RMDS++": ("rmds_plus_plus", "rmds_pp", "rmdspp", "rmds_plus"),
    "WeiPer+KLD": ("weiper", "weiper_kld"),
    "i-ODIN": ("i_odin", "iodin"),
}
"""Postprocessors whose name here is another than theirs in lower case, and what it may be."""


@dataclass(frozen=True, eq=False)
class Prior:
    """Detectors on the networks of one family, each against MSP on the same network.

    Attributes
    ----------
    family : str
    table : frame
        Per detector: ``gain`` (mean over networks of its mean AUROC of near and far OOD minus that of MSP, in points),
        the ``least`` and ``most`` on any network, and the number of ``networks``. Best first.
    networks : tuple of str
        Benchmark and architecture of each network.
    """

    family: str
    table: pl.DataFrame
    networks: tuple[str, ...]

    @property
    def favoured(self) -> tuple[str, ...]:
        """The best of those measured on every network, and what is as good on half of them: they tie."""
        best = self._everywhere["detector"][0]
        return (best, *self._ties_of_best)

    @property
    def sentence(self) -> str:
        """What it says and how little stands behind it."""
        best = self._everywhere.row(0, named=True)
        count = len(self.networks)
        of = f"{count} {'CNNs' if self.family == 'cnn' else 'transformers'} ({with_and(list(self.networks))})"
        spread = f"{best['least']:+.1f} to {best['most']:+.1f} points of AUROC over MSP"
        tied = self._ties_of_best
        also = (
            f"; {with_and(list(tied))} {'ties' if len(tied) == 1 else 'tie'} with it, as good on half of them"
            if tied
            else ""
        )
        weak = "weak evidence" if count < 5 else "evidence of one board"
        return f"OpenOOD's board favours {best['detector']} on its {of}: {spread}{also}. That is {weak}."

    @property
    def _everywhere(self) -> pl.DataFrame:
        return self.table.filter(pl.col("networks") == len(self.networks))

    @property
    def _ties_of_best(self) -> tuple[str, ...]:
        each = _of_family(self.family).filter(pl.col("detector").is_in(self._everywhere["detector"].to_list()))
        wide = each.pivot("detector", index="network", values="gain", aggregate_function="mean")
        best = self._everywhere["detector"][0]
        return tuple(name for name in self._everywhere["detector"][1:] if (wide[name] >= wide[best]).mean() >= HALF)


def prior(family: str, detectors: Collection[str]) -> Prior | None:
    """What the boards say of some detectors on a family of architectures; None where they do not know them.

    Parameters
    ----------
    family : ``cnn``, ``transformer`` or ``other``
    detectors : names
        Those to choose among.

    Examples
    --------
    >>> found = prior("transformer", ["msp", "energy", "rmds", "ash", "vim"])
    >>> found.favoured, found.networks
    (('rmds',), ('Swin-T on ImageNet-1k', 'ViT-B/16 on ImageNet-1k'))
    >>> prior("cnn", ["msp", "scale", "rmds"]).favoured, prior("other", ["msp"])
    (('scale', 'rmds'), None)
    """
    each = _of_family(family)
    known = each.filter(pl.col("detector").is_in(list(detectors)))
    if known.is_empty():
        return None
    gain = pl.col("gain")
    table = known.group_by("detector").agg(gain.mean(), least=gain.min(), most=gain.max(), networks=pl.len())
    networks = tuple(each["network"].unique(maintain_order=True))
    found = Prior(family, table.sort("gain", "detector", descending=[True, False]), networks)
    return None if found._everywhere.is_empty() else found


@cache
def _of_family(family: str) -> pl.DataFrame:
    """Gains over MSP of every detector on every network of a family: columns network, detector, gain."""
    found = [_of_study(study, title) for study, title in STUDIES.items()]
    return pl.concat(found).filter(pl.col("family") == family)


def _of_study(study: str, title: str) -> pl.DataFrame:
    board = profile.load(BOARDS)
    (part,) = board.reading(study).files
    rows = pl.read_csv(board.shipped / f"{part.file}.gz").filter(pl.col("Training") == "CrossEntropy")
    mean = (_points("Near-OOD_AUROC") + _points("Far-OOD_AUROC")) / 2
    named = pl.col("Postprocessor").map_elements(_name, return_dtype=pl.String)
    family = pl.col("Arch").str.extract("^([A-Za-z]+)").replace_strict(FAMILIES, default="other").alias("family")
    rows = rows.select(pl.col("Arch"), family, detector=named, auroc=mean).drop_nulls()
    base = rows.filter(pl.col("detector") == BASELINE).select("Arch", base="auroc")
    joined = rows.filter(pl.col("detector") != BASELINE).join(base, on="Arch", maintain_order="left")
    network = pl.format("{} on {}", "Arch", pl.lit(title))
    return joined.select("family", "detector", network=network, gain=pl.col("auroc") - pl.col("base"))


def _points(column: str) -> pl.Expr:
    """A cell as ``88.30 ± 0.10``, or a number, in points."""
    return pl.col(column).cast(pl.String).str.extract(r"^\s*([\d.]+)").cast(pl.Float64)


def _name(postprocessor: str) -> str | None:
    """What a postprocessor of the board is called here; None where there is no such detector."""
    known = registry.names("detectors")
    plain = postprocessor.lower().replace("-", "_")
    return next((name for name in (*_NAMES.get(postprocessor, ()), plain) if name in known), None)
