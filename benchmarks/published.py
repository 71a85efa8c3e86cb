"""What was published: the figures that a table shows beside ours."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """An accuracy in a paper, as a share, and where it stands."""

    acc: float
    source: str


_KDVAE = "k-DVAE 2020, Table 2"
_VARDAKAS = "Vardakas 2021, Tables 6.10 and 6.11"

_MORAIS = "Toscano Morais 2021, Table"

# By method and data set.
PUBLISHED: dict[str, dict[str, Published]] = {
    "ae-gmm": {"mnist": Published(0.822, _KDVAE)},
    "n2d": {
        "mnist": Published(0.979, "McConville et al. 2021"),
        "fashion-mnist": Published(0.672, "McConville et al. 2021"),
        "pendigits": Published(0.885, "McConville et al. 2021"),
    },
    "dec": {"mnist": Published(0.843, "Xie et al. 2016, best of 20")},
    "idec": {"mnist": Published(0.881, "Guo et al. 2017")},
    "vade": {"mnist": Published(0.944, _KDVAE)},
    "kdae": {"mnist": Published(0.965, _KDVAE)},
    "kdvae": {"mnist": Published(0.979, _KDVAE)},
    "clustergan-conv": {"mnist": Published(0.95, "Mukherjee et al. 2019, purity, best of 5")},
    "hrwaegan-1": {
        "mnist": Published(0.854, f"{_MORAIS} 4.1"),
        "fashion-mnist": Published(0.478, f"{_MORAIS} 4.3, and .568 in 4.1"),
    },
    "hrwaegan-1-gmm": {"fashion-mnist": Published(0.543, f"{_MORAIS} 4.4")},
    "hrwaegan-2": {
        "mnist": Published(0.549, f"{_MORAIS} 4.4"),
        "fashion-mnist": Published(0.442, f"{_MORAIS} 4.3"),
        "cifar10": Published(0.157, f"{_MORAIS} 4.4"),
    },
    "hrwaegan-2-gmm": {
        "mnist": Published(0.704, f"{_MORAIS} 4.4"),
        "fashion-mnist": Published(0.600, f"{_MORAIS} 4.4"),
        "cifar10": Published(0.147, f"{_MORAIS} 4.4"),
    },
    "beta-vae": {
        "mnist": Published(0.766, f"{_MORAIS} 4.1"),
        "fashion-mnist": Published(0.453, f"{_MORAIS} 4.1"),
    },
    "clustergan-vanilla": {
        "vardakas-synthetic": Published(0.96, _VARDAKAS),
        "vardakas-mnist": Published(0.25, _VARDAKAS),
        "vardakas-mnist-4": Published(0.53, _VARDAKAS),
        "vardakas-fashion-mnist": Published(0.27, _VARDAKAS),
        "vardakas-fashion-mnist-5": Published(0.44, _VARDAKAS),
        "vardakas-pendigits": Published(0.71, _VARDAKAS),
        "vardakas-pendigits-odd": Published(0.76, _VARDAKAS),
        "vardakas-pendigits-even": Published(0.96, _VARDAKAS),
    },
}


def published(method: str, data: str) -> str:
    """Return what to print: a figure of all rows is no figure of the test part, and says so."""
    of_method = PUBLISHED.get(method, {})
    whole = data.partition(":")[0].removesuffix("-test")
    if whole not in of_method:
        return ""
    found = of_method[whole]
    return f"{found.acc:.3f} ({found.source}{'' if whole == data else '; all rows'})"
