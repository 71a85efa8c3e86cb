"""The benchmark harness: what it keeps of a run, how it goes on, and what it says of many."""

import copy
import csv
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.metrics import adjusted_rand_score
from skorch.callbacks import Callback

import skdeepcluster
from benchmarks import chunks, cost, generation, memory, methods, numbers, rendering, runs, summary
from benchmarks.__main__ import main
from benchmarks.anchors import measure_anchors
from benchmarks.data import load, to_unit
from benchmarks.generation import class_of_clusters, frechet_distance, gaussian_per_cluster
from benchmarks.grouped import Contest
from benchmarks.published import PUBLISHED, published
from benchmarks.summary import tabulate, tabulate_generation
from skdeepcluster.base import DeepClusterer
from skdeepcluster.metrics import clustering_accuracy

DATA = "digits:200"
TASK = methods.Task(3, 200, is_sparse=False, image_shape=(1, 8, 8), seed=5, device="cpu")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "results" / "runs.jsonl"


def run(out, *more, methods="kmeans", seeds="0", epochs=1):
    command = ["run", "--methods", methods, "--data", DATA, "--seeds", seeds, "--out", str(out)]
    return main([*command, "--device", "cpu", *more, "--set", f"max_epochs={epochs}"])


class TestRun:
    def test_keeps_a_line_for_every_method_and_seed(self, out):
        assert run(out, methods="kmeans,ae-kmeans", seeds="0-1") == 0
        records = runs.read(out)
        assert [(r["method"], r["seed"]) for r in records] == [
            ("kmeans", 0),
            ("kmeans", 1),
            ("ae-kmeans", 0),
            ("ae-kmeans", 1),
        ]
        assert [r["epochs"] for r in records] == [None, None, 1, 1]
        assert all(r["n_samples"] == 200 and not r["resumed"] for r in records)
        assert records[2]["settings"]["max_epochs"] == 1
        assert records[2]["device"] == "cpu"
        assert records[2]["versions"]["torch"] == torch.__version__

    def test_scores_the_labels_of_the_method(self, out):
        run(out, seeds="3")
        data = load(DATA)
        task = methods.Task(data.n_classes, 200, False, None, seed=3, device="cpu")
        labels = methods.METHODS["kmeans"](task).fit_predict(data.X)
        found = runs.read(out)[0]["figures"]
        assert found["acc"] == pytest.approx(clustering_accuracy(data.y, labels))
        assert found["ari"] == pytest.approx(adjusted_rand_score(data.y, labels))
        assert found["n_clusters"] == 10

    def test_noise_is_an_error_to_accuracy_and_no_cluster(self):
        found = runs.figures(np.array([0, 0, 1, 1]), np.array([5, -1, 2, 2]))
        assert found["acc"] == 0.75
        assert found["labeled_fraction"] == 0.75
        assert found["labeled_acc"] == 1.0
        assert found["n_clusters"] == 2

    def test_noise_may_go_to_the_nearest_cluster(self):
        one = runs.Run("ae-kmeans", load(DATA), 0, "cpu", {"max_epochs": 1})
        labels = one.model.fit_predict(one.data.X)
        expected = clustering_accuracy(one.data.y, labels)
        assert one._without_noise(labels) == {}
        labels[::5] = -1  # k-means gives them back to where they were
        assert one._without_noise(labels) == {"nearest_acc": pytest.approx(expected)}
        assert runs.Run("kmeans", one.data, 0, "cpu", {})._without_noise(labels) == {}

    def test_the_groups_of_a_hierarchy_have_noise_of_their_own(self):
        one = runs.Run("hrwaegan-2", load(DATA), 0, "cpu", {})
        assert one._labeled_by_group() == {}  # not fitted yet
        one.model.group_labels_ = np.array([[0, -1], [1, 0], [-1, -1], [-1, -1]])
        assert one._labeled_by_group() == {"labeled_by_group": [0.5, 0.25]}

    def test_skips_what_is_done_and_nothing_else(self, out, capsys):
        run(out, methods="kmeans", seeds="0")
        before = out.read_text()
        run(out, methods="kmeans", seeds="0,1")
        assert out.read_text().startswith(before)
        assert [r["seed"] for r in runs.read(out)] == [0, 1]
        assert "kmeans on digits:200, seed 0: done before" in capsys.readouterr().out

    def test_other_settings_are_another_run(self, out):
        for epochs in (0, 1, 1):
            run(out, methods="ae-kmeans", epochs=epochs)
        assert [r["settings"]["max_epochs"] for r in runs.read(out)] == [0, 1]

    def test_goes_on_after_a_failure(self, out, monkeypatch, capsys):
        def fail(task):
            raise RuntimeError("no such method today")

        monkeypatch.setitem(methods.METHODS, "ae-gmm", fail)
        assert run(out, methods="ae-gmm,kmeans") == 1
        assert [r["method"] for r in runs.read(out)] == ["kmeans"]
        assert "no such method today" in capsys.readouterr().out

    def test_continues_a_fit_that_was_cut_short(self, out, monkeypatch):
        def crash(self, X, weight):
            raise RuntimeError("power cut")

        with monkeypatch.context() as patch:
            patch.setattr(DeepClusterer, "_complete", crash)
            assert run(out, methods="ae-kmeans", epochs=2) == 1
        assert len(list(out.parent.glob("*.checkpoint"))) == 1
        assert run(out, methods="ae-kmeans", epochs=2) == 0
        assert not list(out.parent.glob("*.checkpoint"))
        resumed = runs.read(out)[0]
        run(out.with_name("whole.jsonl"), methods="ae-kmeans", epochs=2)
        whole = runs.read(out.with_name("whole.jsonl"))[0]
        assert (resumed["resumed"], whole["resumed"]) == (True, False)
        assert resumed["figures"] == whole["figures"]

    def test_ctrl_c_leaves_no_record_though_the_fit_ends_well(self, out):
        handler = signal.getsignal(signal.SIGINT)
        overrides = {"max_epochs": 3, "callbacks": [PressCtrlC()]}
        with pytest.raises(KeyboardInterrupt):
            runs.run_all(["ae-kmeans"], [DATA], [0], out, device="cpu", overrides=overrides)
        assert not out.exists()
        assert signal.getsignal(signal.SIGINT) is handler

    @pytest.mark.parametrize("wrong", [["--methods", "means"], ["--data", "digit:10"]])
    def test_refuses_names_that_it_does_not_know(self, out, wrong, capsys):
        with pytest.raises(SystemExit):
            run(out, *wrong)
        assert "choose from" in capsys.readouterr().err


class PressCtrlC(Callback):
    def on_epoch_end(self, net, **kwargs):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("name", methods.METHODS)
@pytest.mark.parametrize("is_sparse", [False, True])
def test_settings_of_a_method_depend_on_neither_seed_nor_device(name, is_sparse):
    def told(seed, device):
        task = methods.Task(4, 500, is_sparse, (1, 8, 8), seed, device)
        return runs.settings(methods.METHODS[name](task))

    assert told(0, "cpu") == told(1, "auto")
    assert json.loads(json.dumps(told(0, "cpu"))) == told(0, "cpu")


class TestData:
    def test_a_draw_of_rows_is_always_the_same_rows(self):
        load.cache_clear()
        first = load(DATA)
        load.cache_clear()
        assert np.array_equal(first.X, load(DATA).X)
        assert first.image_shape == (1, 8, 8)
        assert first.n_classes == 10

    def test_the_test_part_is_what_follows_the_training_part(self, tmp_path, monkeypatch):
        X = np.arange(64, dtype=np.float32).reshape(4, 16)
        np.savez(tmp_path / "pendigits.npz", X=X, y=[0, 1, 0, 1], n_train=1)
        monkeypatch.setenv("SKDEEPCLUSTER_DATA", str(tmp_path))
        data = load("pendigits-test")
        assert data.X.shape == (3, 16)
        assert (data.X.min(), data.X.max()) == (0, 1)
        assert data.image_shape is None

    def test_small_mnist_has_the_means_of_four_pixels(self, tmp_path, monkeypatch):
        X = np.random.RandomState(0).randint(256, size=(3, 28, 28), dtype=np.uint8)
        np.savez(tmp_path / "mnist.npz", X=X, y=[0, 1, 0], n_train=1)
        monkeypatch.setenv("SKDEEPCLUSTER_DATA", str(tmp_path))
        data = load("mnist-test-14")
        assert data.X.shape == (2, 196) and data.image_shape == (1, 14, 14)
        assert data.X[1, 15] == pytest.approx(X[2, 2:4, 2:4].mean() / 255)
        assert "all rows" in published("dcan", data.name)

    def test_the_columns_of_a_table_have_a_scale_each(self):
        X = load("wine").X
        assert X.shape == (178, 13)
        assert (X.min(axis=0) == 0).all() and (X.max(axis=0) > 1 - 1e-6).all()

    def test_one_map_for_all_columns(self):
        X = np.array([[0, 100], [50, 20]], dtype=np.float32)
        assert np.allclose(to_unit(X), X / 100)
        assert to_unit(np.array([[51]], dtype=np.uint8)) == np.float32(0.2)
        assert np.array_equal(to_unit(X / 200), X / 200), "rows in [0, 1] are left alone"

    def test_sparse_rows_stay_sparse(self):
        X = to_unit(sparse.csr_matrix([[0.0, 4.0], [2.0, 0.0]]))
        assert sparse.issparse(X)
        assert np.allclose(X.toarray(), [[0, 1], [0.5, 0]])


def record(seed, acc, method="n2d", data="mnist", settings=None, **more):
    scores = {"acc": acc, "nmi": 0.5, "ari": 0.5, "n_clusters": 10}
    noise = {"labeled_fraction": more.pop("labeled", 1.0), "labeled_acc": acc}
    return {
        "method": method,
        "data": data,
        "seed": seed,
        "settings": settings or {"lr": 0.1},
        "n_samples": 70_000,
        "figures": {**scores, **noise},
        "epochs": 15,
        "cpu_seconds": 100.0,
        "resumed": False,
        **more,
    }


def cells(records):
    header, *rows = tabulate(records)
    return [dict(zip(header, row, strict=True)) for row in rows]


class TestTable:
    def test_shows_means_and_standard_deviations_over_seeds(self):
        (row,) = cells([record(0, 0.7), record(1, 0.8), record(2, 0.9)])
        assert (row["ACC"], row["seeds"], row["epochs"]) == ("0.800 ± 0.100", "3", "15")
        assert row["published ACC"].startswith("0.979 (McConville")

    def test_shows_the_extremes_when_asked(self):
        records = [record(0, 0.7), record(1, 0.75), record(2, 0.9)]
        header, row = tabulate(records, extremes=True)
        assert row[header.index("ACC median (min-max)")] == "0.750 (0.700-0.900)"
        assert tabulate(records[:1], extremes=True)[0].count("ACC median (min-max)") == 0

    def test_leaves_out_columns_that_nothing_fills(self):
        (header, _), nothing = tabulate([record(0, 0.7, method="kmeans")]), tabulate([])
        assert "labelled" not in header and "published ACC" not in header
        assert nothing == [[]]

    def test_one_seed_has_no_deviation(self):
        assert cells([record(0, 0.7)])[0]["ACC"] == "0.700"

    def test_the_same_run_counts_once(self):
        assert cells([record(0, 0.7), record(0, 0.7)])[0]["seeds"] == "1"

    def test_never_mixes_settings_and_names_the_difference(self):
        slow = {"lr": 0.01, "max_epochs": 5}
        fast = {"lr": 0.1, "max_epochs": 5}
        rows = cells([record(0, 0.7, settings=fast), record(0, 0.9, settings=slow)])
        assert [(row["method"], row["ACC"]) for row in rows] == [
            ("n2d lr=0.1", "0.700"),
            ("n2d lr=0.01", "0.900"),
        ]

    def test_seconds_of_a_part_are_not_those_of_the_run(self):
        part = record(1, 0.7, cpu_seconds=1.0, resumed=True)
        assert cells([record(0, 0.7), part])[0]["CPU s"] == "100"

    def test_shows_noise_where_there_is_some(self):
        clean, noisy = cells([record(0, 0.7), record(0, 0.7, data="digits", labeled=0.5)])
        assert (clean["labelled"], noisy["labelled"]) == ("", "0.500")

    def test_shows_noise_given_to_the_nearest_cluster_where_that_is_known(self):
        known = record(0, 0.7, labeled=0.5)
        known["figures"]["nearest_acc"] = 0.8
        (row,) = cells([known, record(1, 0.7, labeled=0.5)])
        assert row["ACC, noise to nearest"] == "0.800"

    def test_seeds_without_noise_count_among_those_whose_noise_was_given_away(self):
        known = record(0, 0.7, labeled=0.5)
        known["figures"]["nearest_acc"] = 0.8
        (row,) = cells([known, record(1, 0.6)])
        assert row["ACC, noise to nearest"] == "0.700 ± 0.141"

    def test_table_4_1_is_that_of_the_wae_gan(self):
        """Whose discriminator is not relativistic."""
        assert published("wae-gan", "mnist").startswith("0.854 (Toscano")
        assert published("hrwaegan-1", "mnist") == ""

    def test_shows_the_share_that_each_group_of_a_hierarchy_labels(self):
        records = [record(seed, 0.7) for seed in range(2)]
        for found, shares in zip(records, [[0.5, 0.75], [1.0, 0.25]], strict=True):
            found["figures"]["labeled_by_group"] = shares
        assert cells(records)[0]["labelled by group"] == "0.750 0.500"

    def test_a_figure_of_all_rows_is_marked_beside_the_test_part(self):
        assert "all rows" not in published("n2d", "mnist")
        assert "all rows" in published("n2d", "mnist-test")
        assert published("kmeans", "mnist") == ""
        assert published("imle-2s", "vardakas-mnist-4").startswith("0.840, NMI 0.64 (Vardakas")

    def test_published_figures_belong_to_methods_that_exist(self):
        assert set(PUBLISHED) <= set(methods.METHODS)

    def test_prints_what_was_run(self, out, capsys):
        run(out)
        capsys.readouterr()
        main(["table", str(out)])
        header, _, row = capsys.readouterr().out.splitlines()
        assert header.split()[:3] == ["data", "rows", "method"]
        assert row.split()[:3] == [DATA, "200", "kmeans"]

    def test_writes_the_file_that_the_documentation_shows(self, out, tmp_path):
        run(out)
        main(["table", str(out), "--output", str(tmp_path / "docs" / "quality.csv")])
        with (tmp_path / "docs" / "quality.csv").open(encoding="utf-8") as file:
            header, row = csv.reader(file)
        assert {"data", "method", "ACC"} <= set(header)
        assert row[0] == DATA

    def test_markdown(self, capsys):
        rendering.show([["a", "b"], ["1", "22"]], "markdown", None)
        assert capsys.readouterr().out == "| a | b  |\n| - | -- |\n| 1 | 22 |\n"


class TestAnchors:
    def test_shorter_edges_are_surer_and_less_even(self):
        _, *rows = measure_anchors(load("digits"), batch_size=500, n_batches=2)
        of = {row[1]: [float(row[2]), float(row[3]), float(row[5])] for row in rows}
        shortest, all_edges = of["shortest 2%"], of["shortest 100%"]
        assert shortest[0] < all_edges[0]
        assert shortest[1] >= all_edges[1]
        assert shortest[2] > all_edges[2]
        assert all_edges[1] < of["mutual neighbours"][1] <= 1

    def test_its_command_prints_a_table(self, capsys):
        assert main(["anchors", "--data", "digits:100"]) == 0
        assert "mutual neighbours" in capsys.readouterr().out


class TestCost:
    def test_the_bare_loop_makes_the_updates_of_the_engine(self):
        X, autoencoder = cost.problem((12, 8), 600)
        network = copy.deepcopy(torch.nn.Sequential(autoencoder.encoder, autoencoder.decoder))
        begin = torch.cat([p.detach().flatten() for p in network.parameters()])
        torch.manual_seed(0)
        cost.bare_loop(network, X, 2)
        torch.manual_seed(0)
        cost.ours(autoencoder, X, 2)()
        bare = torch.cat([p.detach().flatten() for p in network.parameters()])
        own = torch.cat([p.detach().flatten() for p in autoencoder.parameters()])
        assert not torch.allclose(begin, bare, atol=1e-4)
        torch.testing.assert_close(own, bare, atol=1e-6, rtol=1e-5)

    def test_times_two_works_in_turn(self):
        order = []
        own, other = cost.compare(lambda: order.append("own"), lambda: order.append("other"), 2)
        assert order[2:] == ["own", "other", "other", "own"]
        assert len(own.cpu) == len(own.wall) == len(other.cpu) == 2

    def test_says_whether_a_limit_is_kept(self, monkeypatch):
        def measured(own_seconds):
            times = cost.Times([own_seconds], [1.0]), cost.Times([1.0], [1.0])
            monkeypatch.setattr(cost, "compare", lambda *args: times)
            return cost._compared("x", None, None, 1, 1.1)

        assert measured(1.05)[3:] == ["1.05", "1.00", "1.10: kept"]
        assert measured(1.2)[-1] == "1.10: EXCEEDED"

    def test_prints_a_row_for_every_comparison(self, capsys, monkeypatch):
        monkeypatch.setattr(cost, "NETWORKS", [((8, 4), 1, 1.1)])
        monkeypatch.setattr(cost, "LOADER_ROWS", 300)
        main(["cost", "--repeats", "1", "--epochs", "1", "--rows", "300", "--memory-rows", "0"])
        rows = capsys.readouterr().out.splitlines()[2:]
        assert [row.split("  ")[0] for row in rows] == [
            "1 epochs of 8-4-10, bare loop",
            "1 epochs of 300 x 32, skorch's own loader",
        ]


class TestGrouped:
    @pytest.fixture
    def contest(self):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            yield Contest(3, 9)

    def test_both_ways_compute_the_same(self, contest):
        torch.testing.assert_close(contest.batched_bounds(), contest.looped_bounds())

    def test_every_network_wins_its_share(self, contest):
        assert contest.looped_bounds().argmax(0).bincount().tolist() == [3, 3, 3]
        contest.winners_loss()
        assert contest.model.wins.tolist() == [3, 3, 3]

    def test_updates_train(self, contest):
        for own, reference in (contest.training(), contest.strategies()):
            before = contest.batched_bounds().amax(0).mean()
            for _ in range(10):
                own(), reference()
            assert contest.batched_bounds().amax(0).mean() > before

    def test_prints_a_row_for_every_comparison(self, capsys, monkeypatch):
        monkeypatch.setattr(cost, "CONTEST_BATCHES", (4,))
        main(["cost", "--repeats", "1", "--networks", "2,3"])
        rows = capsys.readouterr().out.splitlines()[2:]
        assert [row.partition(":")[0] for row in rows[::3]] == [
            "2 networks, batch 4",
            "3 networks, batch 4",
        ]


BLOCK_OF_80_MB = """
import time

import numpy as np
from benchmarks.memory import AnonymousPeak

with AnonymousPeak() as peak:
    block = np.ones(80_000_000, dtype=np.uint8)
    for _ in range(3000):  # the watcher may have to wait for a processor
        if peak.megabytes > 60:
            break
        time.sleep(0.01)
    del block
print(peak.megabytes)
"""


# The networks of the default size for 784 features hold 180 MB themselves.
FIFTY_NETWORKS = """
import sys

import numpy as np
from benchmarks.memory import AnonymousPeak
from skdeepcluster import KDVAEClustering

rows = np.random.default_rng(0).random((int(sys.argv[1]), 784), dtype=np.float32)
model = KDVAEClustering(50, init=np.arange(100) % 50, init_epochs=0, max_epochs=0, device="cpu")
model.fit(rows[:100])
with AnonymousPeak() as peak:
    model.predict(rows)
print(peak.megabytes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="anonymous memory is read from /proc")
class TestMemory:
    def test_the_peak_sees_what_came_and_went(self):
        # In a process of its own, as the measurement runs: what other tests left here could be
        # freed meanwhile, and hide the block.
        printed = subprocess.run(
            [sys.executable, "-c", BLOCK_OF_80_MB], capture_output=True, text=True, check=True
        ).stdout
        assert 60 < float(printed) < 200

    def test_many_networks_predict_tile_by_tile(self):
        # Large blocks go back to the system at once, so that what is in use is what is seen.
        env = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "1000000"}
        few, many = (
            float(
                subprocess.run(
                    [sys.executable, "-W", "ignore", "-c", FIFTY_NETWORKS, str(n_rows)],
                    env=env,
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout
            )
            for n_rows in (300, 2000)
        )
        assert many < 300
        assert many < 1.2 * few

    def test_a_memory_map_does_not_count(self, tmp_path):
        X = memory.make_memmap(tmp_path / "X.npy", 40_000)
        with memory.AnonymousPeak() as peak:
            assert 0 < X.max() < 1
        assert X.nbytes > 40e6
        assert peak.megabytes < 20


def test_every_public_estimator_is_a_method():
    task = methods.Task(2, 10, False, None, seed=0, device="cpu")
    made = {type(make(task)).__name__ for make in methods.METHODS.values()}
    assert set(skdeepcluster.__all__) <= made


def test_an_estimator_without_an_entry_is_there_as_it_comes(monkeypatch):
    entries = {k: make for k, make in methods.METHODS.items() if not k.startswith("moedc")}
    monkeypatch.setattr(methods, "METHODS", entries)
    (name, make), *others = methods._as_they_come().items()
    assert name == "moedc" and not others
    model = make(methods.Task(2, 10, False, None, seed=3, device="cpu"))
    assert type(model).__name__ == "MoEDCClustering"
    assert (model.n_clusters, model.random_state) == ("auto", 3)


@pytest.mark.parametrize("start", sorted(methods.STARTS))
@pytest.mark.parametrize("name", [*methods.STARTED, "imle"])
def test_a_method_starts_from_the_clusters_that_another_finds_with_its_seed(name, start):
    """So that both can be compared run by run."""
    method = methods.METHODS[f"{name}-{start}"](TASK)
    alone = methods.METHODS[start](TASK)
    assert type(method.init) is type(alone)
    assert method.init.random_state == alone.random_state == method.random_state == 5
    assert method.init.image_shape == alone.image_shape and method.init.n_clusters == 3
    method._validate_params()


class TestGeneration:
    def test_a_run_is_judged_when_asked_and_made_again_if_it_was_not(self, out):
        run(out, methods="kmeans,ae-kmeans")
        assert not any("generation" in record for record in runs.read(out))
        assert run(out, "--judged", methods="kmeans,ae-kmeans") == 0
        _, _, without, judged = runs.read(out)
        assert without["generation"] == {}
        assert set(judged["generation"]) == set(summary.GENERATION)
        header, row = tabulate_generation(runs.read(out))
        assert row[header.index("method")] == "ae-kmeans"
        assert run(out, "--judged", methods="kmeans,ae-kmeans") == 0
        assert len(runs.read(out)) == 4

    def test_rows_are_what_a_perfect_method_would_generate(self):
        data = load("digits:600")

        class Copies:
            def sample(self, n_samples, random_state):
                return data.X[:n_samples], data.y[:n_samples]

        found = generation.generation(Copies(), data, data.y, seed=0)
        assert found["class_share"] == pytest.approx(found["rows_class_share"], abs=0.02)
        assert found["class_share"] > 0.9
        assert found["frechet"] < found["rows_frechet"] < found["gaussian_frechet"]

    def test_a_cluster_stands_for_the_class_it_is_matched_with(self):
        y = np.array([3, 3, 3, 7, 7, 9])
        labels = np.array([0, 0, 4, 1, -1, 2])
        assert class_of_clusters(y, labels).tolist() == [3, 7, 9, -1, 3]

    def test_gaussians_have_the_moments_of_their_clusters(self):
        rng = np.random.default_rng(0)
        rows = rng.standard_normal((400, 3)) @ rng.standard_normal((3, 3)) + 5
        clusters = np.repeat([0, 2], 200)
        drawn, of = gaussian_per_cluster(rows, clusters, 20_000, rng)
        assert set(of) == {0, 2}
        own = rows[:200]
        assert np.allclose(drawn[of == 0].mean(0), own.mean(0), atol=0.1)
        assert np.allclose(np.cov(drawn[of == 0].T), np.cov(own.T, bias=True), rtol=0.1, atol=0.1)

    def test_the_distance_of_gaussians_is_known(self):
        a = np.random.default_rng(0).standard_normal((500, 4))
        b = 2 * a + 1
        spread = np.trace(np.cov(a.T))
        expected = np.square(a.mean(0) - b.mean(0)).sum() + spread
        assert frechet_distance(a, b) == pytest.approx(expected)


def test_numbers_of_clusters_are_told_by_every_method(tmp_path, monkeypatch):
    centers = 4 * np.eye(3, 4).repeat(20, axis=0)
    blobs = (3, lambda random: centers + random.normal(scale=0.3, size=(60, 4)))
    cloud = (numbers.NONE, lambda random: random.normal(size=(60, 4)))
    monkeypatch.setattr(numbers, "DATA", {"blobs": blobs, "a cloud": cloud})
    monkeypatch.setattr(numbers, "NUMBERS", range(2, 4))
    output = tmp_path / "numbers.csv"
    assert main(["numbers", "--seeds", "0", "--output", str(output)]) == 0
    header, of_blobs, of_cloud = csv.reader(output.open())
    assert header == ["data", "rows", "columns", "k", *numbers.METHODS]
    assert of_blobs[:4] == ["blobs", "60", "4", "3"] and of_blobs[5] == "3"
    assert of_cloud[3] == "none" and int(of_cloud[5]) in numbers.NUMBERS


def test_chunks_are_compared_with_a_full_shuffle():
    X = np.random.default_rng(0).random((300, 4), dtype=np.float32)
    y, model = np.arange(300) % 3, chunks.MAKERS["autoencoder"]()
    model.set_params(n_clusters=3, max_epochs=1, batch_size=150)
    found = {(o, s): a for o, s, a in chunks.accuracies(model, X, y, [0])}
    assert len(found) == 6
    full, few = (
        chunks.ChunkedRows(chunks.Chunks(X), buffer_size=int(X.nbytes * share))
        for share in (1.0, 0.02)
    )
    assert full.fits and not few.fits
