"""What the methods with a critic share: its parameters, the same in all, and how it is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn

from skdeepcluster.base._clusterer import DeepClusterer
from skdeepcluster.base._conditions import MattersIf

__all__ = ["CRITIC", "AdversarialClusterer"]

CRITIC = ("n_critic", "critic_lr", "critic", "critic_hidden_layer_sizes")  # its parameters


class AdversarialClusterer(DeepClusterer):
    """Base of the estimators in which a critic plays against other networks."""

    n_critic: str | int
    critic_lr: str | float
    critic: Callable[[tuple[int, ...]], nn.Module] | None
    critic_hidden_layer_sizes: str | Sequence[int]

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **DeepClusterer._parameter_constraints,
        "n_critic": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "critic_lr": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "critic": [callable, None],
        "critic_hidden_layer_sizes": [StrOptions({"auto"}), "array-like"],
    }
    _conditions: ClassVar[tuple[MattersIf, ...]] = (
        *DeepClusterer._conditions,
        MattersIf(
            ("critic_hidden_layer_sizes",),
            lambda self: self.critic is None,
            "{critic} makes a critic of its own",
            "Use critic=None",
        ),
    )

    def _n_critic(self, auto: int) -> int:
        """Return the critic's updates in a turn, given what "auto" means."""
        return auto if isinstance(self.n_critic, str) else int(self.n_critic)

    def _critic_lr(self) -> float | None:
        """Return the critic's own learning rate, if it has one."""
        return None if isinstance(self.critic_lr, str) else float(self.critic_lr)

    def _critic_sizes(self, auto: str | Sequence[int]) -> str | Sequence[int]:
        """Return the widths of the critic's hidden layers, given what "auto" means."""
        sizes = self.critic_hidden_layer_sizes
        return auto if isinstance(sizes, str) else sizes

    def _make_critic(
        self,
        shape: tuple[int, ...],
        make: Callable[..., nn.Module],
        *arguments: Any,
        **options: Any,
    ) -> nn.Module:
        """Return the user's critic of inputs of a shape, or the one that a function makes."""
        if self.critic is not None:
            return self._own_network("critic", (shape,), shape, ())
        return make(*arguments, **options)
