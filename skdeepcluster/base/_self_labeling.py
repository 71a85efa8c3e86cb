"""A fit that learns labels, in rounds or once: how networks are made, taught and asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from numbers import Integral
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray
from torch import nn

from skdeepcluster.augment import augmentation_for
from skdeepcluster.base._export import Program
from skdeepcluster.base._initialized import InitializedClusterer
from skdeepcluster.base._run import Run
from skdeepcluster.base._streaming import once_through
from skdeepcluster.engine.notices import notice
from skdeepcluster.engine.table import Table, tiled
from skdeepcluster.heads import check_umap, drawn_rows
from skdeepcluster.models.labelings import Labeling
from skdeepcluster.models.reclustering import Reclustering
from skdeepcluster.models.self_labels import SelfLabeler, decoding, learning, taught
from skdeepcluster.models.starts import agreement
from skdeepcluster.networks import make_feature_encoder
from skdeepcluster.scaling import Scaling

__all__ = ["SelfLabelingClusterer"]

UPDATES = 200  # of a round at least, with max_epochs="auto"
LEAST_EPOCHS = 10  # of a round, likewise


class SelfLabelingClusterer(InitializedClusterer):
    """Base of an estimator whose networks learn labels that were found."""

    _streams_not = ""
    # Every round begins with fresh networks, and there is none to go on with.
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        name: constraint
        for name, constraint in InitializedClusterer._parameter_constraints.items()
        if name != "warm_start"
    }

    n_members: int
    augment: Any
    max_samples: int | None
    max_epochs: Any
    recluster: str | None
    label_smoothing: float
    reconstruction_weight: float
    decoder_epochs: int
    manifold_params: dict[str, Any] | None
    n_rounds_: int
    _has_noise: bool
    label_change_: float
    agreement_: float

    def _check_before(self, run: Run) -> None:
        """Refuse parameters of UMAP and networks of the user's before anything takes its time."""
        self._tell_of_n_clusters()
        if self.manifold_params:
            check_umap(self.manifold_params)
        k = int(self.n_clusters) if isinstance(self.n_clusters, Integral) else 2
        decodes = self._will_decode()
        self._check_model(run, lambda scaling: self._make_model(scaling, k, decodes, has_code=True))

    def _check_enough(self, n_samples: int) -> None:
        super()._check_enough(n_samples)
        if n_samples < 3 and self._embeds():
            raise ValueError(
                f"n_samples={n_samples} is too few for UMAP, which takes at least 3 rows. Pass "
                "more rows, or labels as init= and recluster=None."
            )

    def _tell_of_n_clusters(self) -> None:
        if self._n_clusters_asked() != self.n_clusters:
            notice(
                f"n_clusters={self.n_clusters} has no effect: init={self.init!r} finds the number "
                "of clusters. Use n_clusters='auto', or init='umap-gmm'.",
                UserWarning,
            )

    def _will_decode(self) -> bool:
        return self.decoder_epochs > 0 or self.reconstruction_weight > 0

    def _is_init(self, name: str) -> bool:
        """Tell whether `init` is a name."""
        return isinstance(self.init, str) and self.init == name

    def _embeds(self) -> bool:
        """Tell whether UMAP takes part."""
        return isinstance(self.init, str) or (self.recluster is not None and self.max_rounds > 0)

    def _learn(
        self,
        run: Run,
        stage: str,
        labeling: Labeling,
        n_clusters: int,
        sample: Table,
        last: bool = False,
    ) -> SelfLabeler:
        """Train a fresh network on the rows of a labeling that are not in doubt."""
        joint = self.reconstruction_weight > 0
        table = taught(sample, labeling, all_rows=joint)
        phases = [learning(self._n_epochs(len(table)), self.reconstruction_weight)]
        decodes = joint or (last and self.decoder_epochs > 0)
        if decodes and not joint:
            phases.append(decoding(self.decoder_epochs))
        model = self._make_model(run.scaling, n_clusters, decodes, has_code=last or joint)
        return run.train(stage, model, phases, table)

    def _stream(self, run: Run, model: Any) -> SelfLabeler:
        """Train the classifier that there is on what it says of new rows, moved at random."""
        labels = tiled(model.log_memberships, run.table).argmax(1)
        run.table.columns["label"] = labels
        phase = replace(learning(1, self.reconstruction_weight), start=None)
        learned: SelfLabeler = run.train("stream", model, [once_through(phase)])
        return learned

    def _program(self) -> Program:
        noise = self._n_candidates() if self._has_noise else None
        return Program(self.module_, self._live, None, hasattr(self, "predict_proba"), noise)

    def _n_epochs(self, n_rows: int) -> int:
        epochs: Any = self.max_epochs
        least = -(-UPDATES * self.batch_size // n_rows)
        return max(LEAST_EPOCHS, least) if epochs == "auto" else epochs

    def _make_model(
        self, scaling: Scaling, n_clusters: int, decodes: bool, has_code: bool
    ) -> SelfLabeler:
        members = [self._make_member(has_code) for _ in range(self.n_members)]
        trunks, code_layers, widths = zip(*members, strict=True)
        return SelfLabeler(
            scaling,
            trunks,
            code_layers,
            n_clusters,
            widths[0],
            augment=augmentation_for(self.augment, self._input_shape),
            decoder=self._make_decoder(self.latent_dim) if decodes else None,
            label_smoothing=self.label_smoothing,
            joint=self.reconstruction_weight > 0,
        )

    def _make_member(self, has_code: bool) -> tuple[nn.Module, nn.Module, int]:
        """Return what makes the features, what makes the code of them, and its width.

        In the rounds the classifier reads the features themselves. Through a narrow code they are
        drawn together by label, wrong labels too, and less is left to be found among them.
        """
        encoder = self._make_encoder(self.latent_dim, make_feature_encoder)
        if self.encoder is not None or not isinstance(encoder, nn.Sequential):
            return encoder, nn.Identity(), self.latent_dim
        trunk, code_layer = encoder[:-1], encoder[-1]
        if has_code:
            return trunk, code_layer, self.latent_dim
        return trunk, nn.Identity(), cast(nn.Linear, code_layer).in_features

    def _drawn_rows(self, run: Run) -> NDArray[np.intp]:
        """Return the rows that clusters are found among, in order."""
        return drawn_rows(len(run.table), self.max_samples, run.seed)

    def _compare(self, start: Labeling, before: Labeling, found: Labeling) -> Labeling:
        """Note what a round has changed."""
        known = before.labels >= 0
        self.label_change_ = float((before.labels != found.labels)[known].mean())
        self.agreement_ = found.agreement
        if self.history_:
            self.history_[-1] |= {
                "label_change": self.label_change_,
                "agreement": found.agreement,
                "classifier_agreement": found.classifier_agreement,
                "confident": float(found.confident.mean()),
                "start_agreement": agreement(start.labels, found.labels),
            }
        return found

    def _keep_start(self, run: Run, start: Labeling, drawn: NDArray[np.intp]) -> None:
        labels = np.full(len(run.table), -1)
        labels[drawn] = start.labels
        self._note_start(run, labels)
        self.n_rounds_, self.label_change_, self.agreement_ = 0, np.nan, start.agreement

    def _count(self, start: Labeling) -> int:
        asked = self._n_clusters_asked()
        if isinstance(asked, Integral):
            return int(asked)
        return max(1, int(start.labels.max()) + 1)

    def _labeling(self, run: Run, step: str, find: Callable[[], Labeling]) -> Labeling:
        return Labeling.of(run.once(step, lambda: find().tensors()))

    def _cluster_anew(self, run: Run, model: SelfLabeler, sample: Table) -> Labeling:
        """Return the clusters of a round."""
        seed = run.seed + self.n_rounds_ * self.n_members
        clusters = Reclustering(seed, self.manifold_params or {})
        return clusters.anew(model, sample, self.recluster is not None)
