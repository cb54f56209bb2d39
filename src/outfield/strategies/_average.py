"""A network with a running average of its weights beside it."""

from __future__ import annotations

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class Averaged(nn.Module):
    """The network that is trained, and the average of its weights and batch statistics [1].

    Parameters
    ----------
    network : nn.Module
    decay : float
        Weight of the past after each step; 1 / (1 - decay) steps are remembered.

    Examples
    --------
    >>> pair = Averaged(nn.Linear(1, 1, bias=False), decay=0.75)
    >>> for weight in (4.0, 8.0):
    ...     _ = nn.init.constant_(pair.network.weight, weight)
    ...     pair.update()
    >>> pair.average.module.weight.item()
    5.0

    References
    ----------
    [1] Polyak, Juditsky. Acceleration of Stochastic Approximation by Averaging. SIAM J. Control and Optimization 1992.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__()
        self.network = network
        self.average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
        self.average.requires_grad_(False)

    def forward(self, *inputs: object) -> object:
        return self.network(*inputs)

    def update(self) -> None:
        """Take the weights of this step into the average."""
        self.average.update_parameters(self.network)

    @classmethod
    def of(cls, network: nn.Module) -> Averaged:
        """The network as such, inside whatever wraps it."""
        return next(module for module in network.modules() if isinstance(module, cls))

    def finished(self) -> nn.Module:
        """The averaged network."""
        module: nn.Module = self.average.module
        return module.requires_grad_()
