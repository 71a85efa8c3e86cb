"""An autoencoder, and the phase that trains one."""

from __future__ import annotations

from torch import Tensor, nn

from skdeepcluster.engine.model import Model
from skdeepcluster.engine.schedule import Phase, Turn, one_cycle
from skdeepcluster.engine.table import Batch
from skdeepcluster.objectives import squared_error
from skdeepcluster.scaling import Scaling

__all__ = ["Autoencoder", "reconstruction_phase"]


class Autoencoder(Model):
    """An encoder f and a decoder g.

    Parameters
    ----------
    scaling : Scaling
        Maps rows to the encoder's input.
    encoder, decoder : nn.Module
        The networks.
    """

    owns_draws = True

    def __init__(self, scaling: Scaling, encoder: nn.Module, decoder: nn.Module):
        super().__init__(scaling)
        self.encoder = encoder
        self.decoder = decoder

    def encode(self, x: Tensor) -> Tensor:
        """Return f(x) of scaled rows."""
        return self.encoder(x)

    def codes(self, batch: Batch) -> Tensor:
        """Return f(x)."""
        return self.encode(self.inputs(batch))

    def decode(self, codes: Tensor) -> Tensor:
        """Return g(z)."""
        return self.decoder(codes)

    def reconstruction(self, batch: Batch) -> dict[str, Tensor]:
        """Return the squared error of g(f(x)), a mean over features, per row."""
        x = self.changed(batch)
        return {"reconstruction": squared_error(self.decode(self.encode(x)), x)}


def reconstruction_phase(epochs: int, name: str = "pretraining") -> Phase:
    """Return the phase that trains an autoencoder, by one cycle of the learning rate."""
    turns = [Turn("model", "reconstruction")]
    return Phase(name, turns, epochs=epochs, lr={"model": one_cycle})
