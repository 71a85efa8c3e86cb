"""What was published: the figures that a table shows beside ours."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """An accuracy in a paper, as a share, and where it stands; perhaps with its NMI."""

    acc: float
    source: str
    nmi: float | None = None


_KDVAE = "k-DVAE 2020, Table 2"
_TZOREFF = "Tzoreff et al. 2018, Table 2"
_PRETRAINED = "Tzoreff et al. 2018, section 4, at least"
_LIM = "Lim 2024, Table 2"
_MORAIS = "Toscano Morais 2021, Table"
_VARDAKAS = "Vardakas 2021, Tables 6.10 and 6.11"

# Accuracies and NMI in Tables 6.10 and 6.11 of Vardakas (2021), a column for every data set.
_VARDAKAS_DATA = (
    "synthetic",
    "mnist",
    "mnist-4",
    "fashion-mnist",
    "fashion-mnist-5",
    "pendigits",
    "pendigits-odd",
    "pendigits-even",
)
_VARDAKAS_ACC = {
    "imle-simple": (0.40, 0.44, 0.60, 0.52, 0.60, 0.66, 0.65, 0.87),
    "imle-2s": (1.00, 0.50, 0.84, 0.56, 0.66, 0.70, 0.76, 0.87),
    "imle-encoder": (1.00, 0.51, 0.81, 0.57, 0.70, 0.71, 0.76, 0.88),
    "imle-encoder-centroid": (1.00, 0.51, 0.81, 0.57, 0.68, 0.70, 0.76, 0.87),
    "imle-final": (1.00, 0.51, 0.81, 0.55, 0.66, 0.71, 0.76, 0.87),
    "imle-final-centroid": (1.00, 0.51, 0.80, 0.56, 0.67, 0.71, 0.76, 0.88),
    "clustergan-standard": (0.96, 0.25, 0.53, 0.27, 0.44, 0.71, 0.76, 0.96),
}
_VARDAKAS_NMI = {
    "imle-simple": (0.10, 0.37, 0.34, 0.49, 0.38, 0.65, 0.48, 0.66),
    "imle-2s": (1.00, 0.44, 0.64, 0.52, 0.48, 0.66, 0.57, 0.77),
    "imle-encoder": (1.00, 0.44, 0.61, 0.54, 0.53, 0.68, 0.57, 0.79),
    "imle-encoder-centroid": (1.00, 0.43, 0.61, 0.54, 0.51, 0.67, 0.57, 0.78),
    "imle-final": (1.00, 0.44, 0.61, 0.51, 0.49, 0.67, 0.57, 0.78),
    "imle-final-centroid": (1.00, 0.44, 0.61, 0.52, 0.49, 0.67, 0.57, 0.79),
    "clustergan-standard": (0.91, 0.12, 0.25, 0.16, 0.13, 0.68, 0.57, 0.89),
}

# By method and data set.
PUBLISHED: dict[str, dict[str, Published]] = {
    "ae-gmm": {"mnist": Published(0.822, _KDVAE)},
    "spc": {
        "mnist": Published(0.990, "Mahon & Lukasiewicz 2021"),
        "fashion-mnist": Published(0.679, "Mahon & Lukasiewicz 2021"),
    },
    "imsat-vat": {"mnist": Published(0.984, "Hu et al. 2017")},
    "imsat-rpt": {"mnist": Published(0.896, "Hu et al. 2017")},
    "iic": {"mnist": Published(0.987, "Ji et al. 2019")},
    "n2d": {
        "mnist": Published(0.979, "McConville et al. 2021"),
        "fashion-mnist": Published(0.672, "McConville et al. 2021"),
        "pendigits": Published(0.885, "McConville et al. 2021"),
    },
    "dec": {"mnist": Published(0.843, "Xie et al. 2016, best of 20")},
    "idec": {"mnist": Published(0.881, "Guo et al. 2017")},
    "dbc": {
        "mnist": Published(0.964, "Li et al. 2018"),
        "coil20": Published(0.793, "Li et al. 2018"),
    },
    "dcn": {"mnist": Published(0.83, "Yang et al. 2017")},
    "aae": {"mnist": Published(0.8348, _LIM)},
    "vade": {"mnist": Published(0.944, _KDVAE)},
    "kdae": {"mnist": Published(0.965, _KDVAE)},
    "kdvae": {"mnist": Published(0.979, _KDVAE)},
    "ddls": {"mnist": Published(0.974, _TZOREFF), "coil20": Published(0.923, _TZOREFF)},
    "ddls-pretraining": {
        "mnist": Published(0.92, _PRETRAINED),
        "coil20": Published(0.90, _PRETRAINED),
    },
    "dcan": {"mnist": Published(0.8565, _LIM)},
    "dcan-literal": {"mnist": Published(0.8565, _LIM)},
    "abc": {"mnist": Published(0.760, _LIM)},
    "moedc": {
        "mnist": Published(0.974, f"{_MORAIS} 4.4"),
        "fashion-mnist": Published(0.68, f"{_MORAIS} 4.4"),
        "cifar10": Published(0.328, f"{_MORAIS} 4.4"),
    },
    "clustergan-conv": {"mnist": Published(0.95, "Mukherjee et al. 2019, purity, best of 5")},
    "hrwaegan-1": {"fashion-mnist": Published(0.478, f"{_MORAIS} 4.3")},
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
    # Table 4.1 has the WAE-GAN itself, whose discriminator is not relativistic.
    "wae-gan": {
        "mnist": Published(0.854, f"{_MORAIS} 4.1"),
        "fashion-mnist": Published(0.568, f"{_MORAIS} 4.1"),
    },
    "beta-vae": {
        "mnist": Published(0.766, f"{_MORAIS} 4.1"),
        "fashion-mnist": Published(0.453, f"{_MORAIS} 4.1"),
    },
    **{
        method: {
            f"vardakas-{data}": Published(acc, _VARDAKAS, nmi)
            for data, acc, nmi in zip(_VARDAKAS_DATA, row, _VARDAKAS_NMI[method], strict=True)
        }
        for method, row in _VARDAKAS_ACC.items()
    },
}


def published(method: str, data: str) -> str:
    """Return what to print: a figure of all rows is no figure of the test part, and says so."""
    of_method = PUBLISHED.get(method, {})
    whole = data.partition(":")[0].removesuffix("-14").removesuffix("-test")
    if whole not in of_method:
        return ""
    found = of_method[whole]
    nmi = "" if found.nmi is None else f", NMI {found.nmi:.2f}"
    return f"{found.acc:.3f}{nmi} ({found.source}{'' if whole == data else '; all rows'})"
