"""What VOS and NPOS share: the last features of each class, and points at their edge."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Chi2
from torch.nn import functional


class Queues(nn.Module):
    """The last ``size`` features of each class, [C, size, D]; of a class with fewer, as many as there were.

    Examples
    --------
    >>> queues = Queues(classes=2, size=2, features=1)
    >>> queues.push(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([0, 0, 0]))
    >>> queues.rows[0].flatten().tolist(), queues.counts.tolist()
    ([3.0, 2.0], [3, 0])
    """

    rows: Tensor
    counts: Tensor

    def __init__(self, classes: int, size: int, features: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros(classes, size, features))
        self.register_buffer("counts", torch.zeros(classes, dtype=torch.long))

    @torch.no_grad()
    def push(self, features: Tensor, labels: Tensor) -> None:
        """Each row takes the place of the oldest of its class."""
        size = self.rows.shape[1]
        for label in labels.unique().tolist():
            new = features[labels == label].detach()
            places = (int(self.counts[label]) + torch.arange(len(new), device=new.device))[-size:] % size
            self.rows[label, places] = new[-size:].to(self.rows.dtype)
            self.counts[label] += len(new)

    def held(self) -> list[Tensor]:
        """The rows of each class that has at least two."""
        size = self.rows.shape[1]
        counts = self.counts.clamp(max=size).tolist()
        return [rows[:count] for rows, count in zip(self.rows, counts, strict=True) if count > 1]


def unlikely(groups: list[Tensor], draws: int, count: int, ridge: float = 1e-4) -> Tensor:
    """Of so many draws of each class's Gaussian, with one covariance, the ``count`` of least density.

    The density of a draw ``mu + L e`` falls with the length of e, whose square is chi-squared with D degrees of
    freedom, and whose direction is independent of it: so the longest of ``draws`` lengths are drawn, and a direction
    for each.

    Examples
    --------
    >>> unlikely([torch.randn(9, 3), 5 + torch.randn(9, 3)], draws=100, count=2).shape
    torch.Size([4, 3])
    """
    means: Tensor = torch.stack([rows.mean(0) for rows in groups])
    away = torch.cat([rows - mean for rows, mean in zip(groups, means, strict=True)])
    size = away.shape[1]
    covariance = away.T @ away / len(away) + ridge * torch.eye(size, device=away.device)
    squares = Chi2(torch.tensor(float(size), device=away.device)).sample(torch.Size((len(groups), draws)))
    lengths = squares.topk(count, dim=1).values.sqrt()
    directions = functional.normalize(torch.randn(len(groups), count, size, device=away.device), dim=2)
    steps: Tensor = lengths[:, :, None] * directions @ torch.linalg.cholesky(covariance).T
    points: Tensor = (means[:, None] + steps).flatten(0, 1)
    return points


def boundary(rows: Tensor, *, k: int, edges: int, draws: int, count: int, sigma: float) -> Tensor:
    """Points on the sphere beside the loneliest of some rows on it, [at most edges * count, D].

    The ``edges`` rows with the farthest k-th neighbour get ``draws`` Gaussian points around each, brought to length 1;
    of these stay the ``count`` whose own k-th neighbour among the rows is farthest.

    Examples
    --------
    >>> boundary(functional.normalize(torch.randn(20, 3), dim=1), k=3, edges=2, draws=10, count=1, sigma=0.1).shape
    torch.Size([2, 3])
    """
    k = min(k, len(rows) - 1)
    own = torch.cdist(rows, rows).kthvalue(k + 1, dim=1).values  # the first is the row itself
    loneliest = rows[own.topk(min(edges, len(rows))).indices]
    noise = sigma * torch.randn(len(loneliest), draws, rows.shape[1], device=rows.device)
    points = functional.normalize(loneliest[:, None] + noise, dim=2)
    far = torch.cdist(points.flatten(0, 1), rows).kthvalue(k, dim=1).values.view(len(loneliest), draws)
    chosen = far.topk(min(count, draws), dim=1).indices
    return points.gather(1, chosen[:, :, None].expand(-1, -1, rows.shape[1])).flatten(0, 1)
