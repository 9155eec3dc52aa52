"""The parts of the test cluster that need no root: what it is made of, how it is configured, who may use it."""

from __future__ import annotations

import ipaddress
import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from tests.cluster.cluster import chart_values, named_cluster, split_reference
from tests.cluster.ground import images, install, life, namespaces, programs, settings, users
from tests.cluster.ground.__main__ import main
from tests.cluster.ground.shell import GroundError, locked, run, turn, using, wait

ROOT = Path(__file__).parents[2]
GROUND = ROOT / "tests" / "cluster" / "ground"
TEST_NETWORK = ipaddress.ip_network("198.18.0.0/15")


def python(*code: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *code],
        cwd=ROOT, env={**os.environ, "MILLWRIGHT_GROUND_HOME": str(home)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ground's configuration, written."""
    home = tmp_path_factory.mktemp("ground")
    done = python("-c", "from tests.cluster.ground import configuration; configuration.write()", home=home)
    assert done.returncode == 0, done.stderr
    return home / "run"


class TestVersions:
    def test_kubernetes_is_built_from_the_version_that_it_says(self) -> None:
        required = re.search(r"k8s\.io/kubernetes (v\S+)", (GROUND / "kubernetes" / "go.mod").read_text())

        assert required is not None
        assert required[1] == settings.KUBERNETES

    def test_the_go_that_is_looked_for_is_the_one_that_the_modules_want(self) -> None:
        wanted = {re.search(r"^go (\S+)", (GROUND / name / "go.mod").read_text(), re.M)[1] for name in install.FOLDERS}  # type: ignore[index]
        looked_for = re.search(r"^needed=(\S+)", (ROOT / "tools" / "go.sh").read_text(), re.M)

        assert looked_for is not None
        assert {looked_for[1]} == wanted

    def test_a_go_that_is_installed_or_fetched_is_new_enough(self) -> None:
        go = run(ROOT / "tools" / "go.sh").strip()

        assert "go version go1." in run(go, "version")


class TestInstall:
    def test_a_program_is_built_again_when_its_source_has_changed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(install, "BIN", tmp_path)
        (tmp_path / "helm").touch()
        (tmp_path / "helm.stamp").write_text("helm@v4.3.1")

        assert install.is_built("helm", "helm@v4.3.1")
        assert not install.is_built("helm", "helm@v4.4.0")

    def test_a_stamp_without_its_program_counts_for_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(install, "BIN", tmp_path)
        (tmp_path / "helm.stamp").write_text("helm@v4.3.1")

        assert not install.is_built("helm", "helm@v4.3.1")

    def test_a_program_that_there_is_not_is_refused_with_those_that_there_are(self) -> None:
        with pytest.raises(GroundError, match=r"kubelet is none of .*; there are kubernetes, dns, versitygw, registry"):
            install.install(["kubelet"])

    def test_kubectl_is_the_one_binary_by_another_name(self, tmp_path: Path) -> None:
        done = python("-m", "tests.cluster.ground", "install", "kubectl", home=tmp_path)

        script = tmp_path / "bin" / "kubectl"
        assert done.returncode == 0, done.stderr
        assert script.read_text() == f'#!/bin/sh\nexec {tmp_path}/bin/kubernetes kubectl "$@"\n'
        assert os.access(script, os.X_OK)


class TestConfiguration:
    def test_containerd_asks_the_grounds_registry_and_keeps_images_in_the_store(self, folder: Path) -> None:
        containerd = tomllib.loads((folder / "containerd.toml").read_text())
        cri = containerd["plugins"]["io.containerd.grpc.v1.cri"]

        assert containerd["root"] == f"{folder.parent}/store/containerd"
        assert cri["sandbox_image"] == settings.PAUSE_IMAGE
        assert (Path(cri["registry"]["config_path"]) / settings.REGISTRY / "hosts.toml").exists()

    def test_every_kubeconfig_reaches_the_api_server_as_its_user(self, folder: Path) -> None:
        users_of = {
            name: yaml.safe_load((folder / f"{name}.kubeconfig").read_text())["users"][0] for name in settings.TOKENS
        }

        assert users_of["admin"] == {"name": "admin", "user": {"token": "ground-admin"}}
        assert users_of["node"]["name"] == "system:node:node-1"

    def test_a_name_outside_the_cluster_is_asked_of_nobody(self, folder: Path) -> None:
        kubelet = json.loads((folder / "kubelet.yaml").read_text())

        assert Path(kubelet["resolvConf"]).read_text() == ""
        assert "forward" not in (folder / "Corefile").read_text()

    def test_the_key_that_signs_tokens_is_made_anew_each_time(self, folder: Path, tmp_path: Path) -> None:
        python("-c", "from tests.cluster.ground import configuration; configuration.write()", home=tmp_path)

        assert (folder / "sa.key").read_text() != (tmp_path / "run" / "sa.key").read_text()


class TestPrograms:
    def test_all_addresses_are_this_machines_own_or_of_the_network_for_tests(self) -> None:
        words = " ".join(word for line in programs.command_lines().values() for word in line)
        found = {ipaddress.ip_address(text) for text in re.findall(r"\d+\.\d+\.\d+\.\d+", words)}

        assert found
        assert all(address.is_loopback or address in TEST_NETWORK for address in found)

    def test_one_that_there_is_not_is_refused_with_those_that_there_are(self) -> None:
        with pytest.raises(GroundError, match=r"minio is no program of the ground; there are etcd, kube-apiserver, s3"):
            programs.command_line("minio")

    def test_a_ground_that_is_down_is_said_to_be(self, tmp_path: Path) -> None:
        done = python("-m", "tests.cluster.ground", "exec", "true", home=tmp_path)

        assert (done.returncode, done.stderr) == (1, "ground: the ground is down: make cluster-up\n")

    def test_one_whose_id_is_only_being_written_does_not_run_yet(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(programs, "RUN", tmp_path)
        monkeypatch.setattr(programs, "anchor", os.getpid)
        (tmp_path / "pids").mkdir()
        (tmp_path / "pids" / "etcd").touch()

        assert not programs.is_running("etcd")

    def test_one_that_is_waited_for_in_vain_is_told_with_what_had_ended(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(programs, "RUN", tmp_path)
        for name in ("pids", "logs"):
            (tmp_path / name).mkdir()
        (tmp_path / "pids" / "etcd").write_text("2")
        (tmp_path / "logs" / "etcd.log").write_text("panic: no space left on device\ngoroutine 1\n\tmain.go:38\n")
        monkeypatch.setattr(programs, "is_running", lambda name: False)

        def in_vain(what: str, ready: object) -> None:
            raise GroundError(f"waited 90 s for {what}")

        monkeypatch.setattr(programs, "wait", in_vain)

        with pytest.raises(GroundError) as told:
            programs.wait_until_ready("kube-apiserver")

        assert str(told.value).splitlines() == [
            "waited 90 s for kube-apiserver",
            "etcd has ended; its last words: panic: no space left on device",
        ]


class TestAMachineThatIsTaken:
    def test_a_disk_that_is_nearly_full_is_told_before_anything_starts(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(life, "HOME", tmp_path)
        nearly_full = type(shutil.disk_usage("/"))(400 * 10**9, 396 * 10**9, 4 * 10**9)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: nearly_full)

        with pytest.raises(
            GroundError, match=rf"{tmp_path} has 4.0 GB free, and the test cluster needs 5.0, besides 30"
        ):
            life.demand_space()

    def test_a_ground_that_nobody_holds_the_end_of_is_told_from_one_that_is_down(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(namespaces, "RUN", tmp_path)
        monkeypatch.setattr(namespaces, "LINK", "nosuchdevice")

        with pytest.raises(
            GroundError, match=rf"another ground is up: it has {tmp_path}; .* kill -9 its first process"
        ):
            namespaces.demand_free()


class TestWithoutRoot:
    @pytest.fixture(autouse=True)
    def nobody(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 65534)

    @pytest.mark.parametrize(
        "words",
        [["up"], ["down"], ["install"], ["images", "--build-only"], ["stop", "s3"], ["exec", "true"], ["prune"]],
        ids=" ".join,
    )
    def test_what_can_be_done_is_said_before_anything_is_built(self, words: list[str]) -> None:
        with pytest.raises(GroundError, match=r"needs root.* name another cluster with MILLWRIGHT_TEST_KUBECONFIG"):
            main(words)

    def test_tests_do_not_wait_for_their_turn_first(self) -> None:
        with pytest.raises(GroundError, match="needs root"), users.borrowed("a"):
            pass


class TestTestsOnTheCluster:
    """They run, or fail and say why; they are never skipped."""

    @pytest.fixture(autouse=True)
    def nobody_elses(self, tmp_path: Path) -> None:
        """A ground of their own: they do not wait for a test that has this machine's for itself."""
        self.home = tmp_path / "ground"

    def outcome(self, *as_whom: str, **variables: str) -> subprocess.CompletedProcess[str]:
        variables = {"MILLWRIGHT_GROUND_HOME": str(self.home), **variables}
        unset = ("PYTEST_", "AWS_", "MILLWRIGHT_")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(unset)}
        test = "tests/cluster/test_ground.py::TestTheCommand::test_a_shell_gets_what_it_needs"
        return subprocess.run(
            [*as_whom, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test],
            cwd=ROOT, env=environment | variables, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def test_without_root_they_fail_in_one_line(self) -> None:
        done = self.outcome(*(["unshare", "--user"] if os.geteuid() == 0 else []))

        assert done.returncode == 1
        assert "the test cluster needs root, as it makes namespaces and runs a kubelet" in done.stdout
        assert "Traceback" not in done.stdout
        assert "1 error in" in done.stdout

    def test_a_named_cluster_that_is_described_in_part_is_told_all_that_is_missing(self) -> None:
        done = self.outcome(MILLWRIGHT_TEST_KUBECONFIG="config", AWS_ACCESS_KEY_ID="key")

        assert done.returncode == 1
        missing = ["AWS_ENDPOINT_URL_S3", "AWS_SECRET_ACCESS_KEY"]
        missing += [f"MILLWRIGHT_TEST_{target}_IMAGE" for target in ("OPERATOR", "PREFLIGHT", "AZURE", "RUNNER")]
        assert f"so these must be set too: {', '.join(missing)}" in done.stdout


class TestANamedCluster:
    """It is looked at before the first test; each of them would fail for the same reason, in words of Helm's or kubectl's."""

    @pytest.fixture
    def kubeconfig(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        for name in ("AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "given")
        for target in settings.TARGETS:
            monkeypatch.setenv(f"MILLWRIGHT_TEST_{target.upper()}_IMAGE", f"registry.example/{target}:1")
        monkeypatch.setattr(settings, "BIN", tmp_path / "bin")
        monkeypatch.setenv("PATH", str(tmp_path))
        (tmp_path / "config").write_text("kind: Config\n")
        return tmp_path / "config"

    def kubectl(self, answer: str) -> None:
        settings.BIN.mkdir()
        for name in ("kubectl", "helm"):
            (settings.BIN / name).write_text(f"#!/bin/sh\n{answer}\n")
            (settings.BIN / name).chmod(0o755)

    @pytest.mark.parametrize("content", [None, "", "\n"])
    def test_a_file_that_is_not_there_or_empty_is_named(self, kubeconfig: Path, content: str | None) -> None:
        kubeconfig.unlink()
        if content is not None:
            kubeconfig.write_text(content)

        with pytest.raises(GroundError, match=rf"names {kubeconfig}: there is no such file, or it is empty"):
            named_cluster(kubeconfig)

    def test_without_kubectl_that_is_said(self, kubeconfig: Path) -> None:
        with pytest.raises(GroundError, match="and kubectl is not on the PATH"):
            named_cluster(kubeconfig)

    def test_a_server_that_does_not_answer_is_told_in_kubectls_last_words(self, kubeconfig: Path) -> None:
        self.kubectl(
            'echo "E1121 memcache.go:265 noise" >&2; echo "The connection to the server was refused" >&2; exit 1'
        )

        with pytest.raises(GroundError, match=r"config, and its API server cannot be used: The connection to the ser"):
            named_cluster(kubeconfig)

    def test_one_that_answers_is_used_from_any_folder(self, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kubectl("exit 0")
        monkeypatch.chdir(kubeconfig.parent)

        cluster = named_cluster(Path("config"))

        assert (cluster.kubeconfig, cluster.is_ground) == (kubeconfig, False)


class TestWhoUsesIt:
    """One run has the ground to itself; its processes share it."""

    @pytest.fixture(autouse=True)
    def told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
        """What would be done to the ground; without root nothing of it could be."""
        told: list[str] = []
        monkeypatch.setattr(users, "FOLDER", tmp_path / "users")
        monkeypatch.setattr(users, "LOCK", tmp_path / "users.lock")
        monkeypatch.setattr(life, "KEPT", tmp_path / "kept")
        monkeypatch.setattr(life, "up", lambda keep=False: told.append("up, kept" if keep else "up"))
        monkeypatch.setattr(life, "down", lambda: told.append("down"))
        monkeypatch.setattr(namespaces, "is_up", lambda: bool(told) and told[-1] != "down")
        monkeypatch.delenv("MILLWRIGHT_GROUND_KEEP", raising=False)
        monkeypatch.delenv("CI", raising=False)
        yield told

    def in_another_process(self, action: Callable[[str], None], run_id: str) -> None:
        process = multiprocessing.get_context("fork").Process(target=action, args=(run_id,))
        process.start()
        process.join(30)
        assert process.exitcode == 0

    def another_user(self, run_id: str) -> subprocess.Popen[bytes]:
        sleeper = subprocess.Popen(["sleep", "60"])
        users.FOLDER.mkdir(parents=True, exist_ok=True)
        entry = users.User(run_id, sleeper.pid, users.started(sleeper.pid))
        (users.FOLDER / str(sleeper.pid)).write_text(json.dumps(entry))
        return sleeper

    def test_the_first_starts_it_and_the_last_takes_it_down(self, told: list[str]) -> None:
        users.join("a")
        users.leave("a")

        assert told == ["up", "down"]

    def test_a_second_process_of_the_run_finds_it_up_and_leaves_it_up(self, told: list[str]) -> None:
        sleeper = self.another_user("a")

        users.join("a")
        users.leave("a")

        sleeper.kill()
        sleeper.wait()
        assert told == []

    def test_another_run_waits_until_it_is_free(
        self, told: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        sleeper = self.another_user("a")

        def end_the_other(_seconds: float) -> None:
            sleeper.kill()
            sleeper.wait()

        monkeypatch.setattr(users.time, "sleep", end_the_other)

        users.join("b")

        assert told == ["up"]
        assert "another test run uses the test cluster" in capsys.readouterr().err

    def test_a_process_that_died_uses_it_no_longer(self, told: list[str]) -> None:
        self.in_another_process(users.join, "a")

        assert users.living() == []
        users.join("b")
        assert told == ["up"]

    def test_a_process_with_the_id_of_one_that_died_is_not_taken_for_it(self) -> None:
        users.FOLDER.mkdir(parents=True)
        entry = users.User("a", os.getpid(), users.started(os.getpid()) - 1)
        (users.FOLDER / str(os.getpid())).write_text(json.dumps(entry))

        assert users.living() == []

    def test_one_that_shall_stay_up_is_used_as_it_is_and_left_up(self, told: list[str]) -> None:
        told.append("up, kept")
        life.KEPT.touch()

        users.join("a")
        users.leave("a")

        assert told == ["up, kept"]

    def test_the_environment_can_ask_for_one_that_stays_up(
        self, told: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MILLWRIGHT_GROUND_KEEP", "1")

        users.join("a")
        users.leave("a")

        assert told == ["up, kept"]

    def test_ci_takes_a_fresh_one_even_so(self, told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        told.append("up, kept")
        life.KEPT.touch()
        monkeypatch.setenv("CI", "true")

        users.join("a")

        assert told[-1] == "up"


class TestTurns:
    """Two processes; threads would do as well, for each has a description of its own of the file."""

    def shared_by_two(self, path: Path, *, first: bool, second: bool) -> bool:
        """Whether a second one gets its turn beside a first one."""
        entered = threading.Event()

        def take() -> None:
            with turn(path, alone=second):
                entered.set()

        with turn(path, alone=first):
            thread = threading.Thread(target=take)
            thread.start()
            beside = entered.wait(0.5)
        thread.join()
        return beside

    def test_those_that_share_do_not_wait_for_one_another(self, tmp_path: Path) -> None:
        assert self.shared_by_two(tmp_path / "turn", first=False, second=False)

    def test_who_is_alone_waits_for_all_others(self, tmp_path: Path) -> None:
        assert not self.shared_by_two(tmp_path / "turn", first=False, second=True)

    def test_all_others_wait_for_who_is_alone(self, tmp_path: Path) -> None:
        assert not self.shared_by_two(tmp_path / "turn", first=True, second=False)


class TestUsers:
    def test_only_the_last_of_those_who_use_something_is_told_so(self, tmp_path: Path) -> None:
        with using(tmp_path / "users") as first, using(tmp_path / "users") as second:
            assert (first(), second()) == (False, True)

    def test_who_died_is_not_waited_for(self, tmp_path: Path) -> None:
        path = str(tmp_path / "users")
        code = f"import os, pathlib\nfrom tests.cluster.ground.shell import using\nusing(pathlib.Path({path!r})).__enter__(); os._exit(1)"
        python("-c", code, home=tmp_path)

        with using(tmp_path / "users") as is_last:
            assert is_last()


class TestShell:
    def test_a_command_that_fails_is_told_with_all_it_said(self) -> None:
        with pytest.raises(GroundError, match=r"sh -c .*: exit 3\nout\nerr"):
            run("sh", "-c", "echo out; echo err >&2; exit 3")

    def test_waiting_ends_with_what_was_waited_for_and_why(self) -> None:
        def refuses() -> bool:
            raise OSError("connection refused")

        with pytest.raises(GroundError, match=r"waited 0 s for the API server: connection refused"):
            wait("the API server", refuses, 0.2)

    def test_a_lock_falls_with_the_process_that_held_it(self, tmp_path: Path) -> None:
        code = f"import os, pathlib\nfrom tests.cluster.ground.shell import locked\nlocked(pathlib.Path({str(tmp_path / 'l')!r})).__enter__(); os._exit(1)"
        python("-c", code, home=tmp_path)

        with locked(tmp_path / "l"):
            assert (tmp_path / "l").exists()


class TestImages:
    @pytest.mark.parametrize(
        ("name", "outdated"),
        [
            (f"{settings.REGISTRY}/millwright/runner@sha256:old", True),
            (f"{settings.REGISTRY}/millwright/runner@sha256:new", False),
            (f"{settings.REGISTRY}/millwright/runner:dev", False),
            (f"{settings.REGISTRY}/somebody/else@sha256:old", False),
            (settings.PAUSE_IMAGE, False),
            ("sha256:old", False),
        ],
    )
    def test_only_ours_that_the_registry_has_no_longer_are_outdated(self, name: str, outdated: bool) -> None:
        assert images.is_outdated(name, {"sha256:new"}) is outdated

    def test_the_kubelets_own_name_of_an_image_goes_with_the_last_other_one(self) -> None:
        ours = f"{images.REGISTRY}/{images.NAME}/runner"
        node = [
            (f"{ours}@sha256:old", "sha256:old"),
            (f"{ours}@sha256:new", "sha256:new"),
            ("docker.io/ground/pause:1", "sha256:pause"),
            *((f"sha256:id-{which}", f"sha256:{which}") for which in ("old", "new", "pause", "older")),
        ]

        gone = images.outdated(node, {"sha256:new"})

        assert gone == [f"{ours}@sha256:old", "sha256:id-old", "sha256:id-older"]

    @pytest.mark.parametrize(
        ("reference", "parts"),
        [
            ("198.18.0.2:5000/millwright/operator@sha256:ab", ("198.18.0.2:5000/millwright/operator", "", "sha256:ab")),
            ("example.com/millwright/operator:1.2", ("example.com/millwright/operator", "1.2", "")),
            ("example.com:5000/operator", ("example.com:5000/operator", "", "")),
            ("operator:1.2@sha256:ab", ("operator", "1.2", "sha256:ab")),
        ],
    )
    def test_a_reference_is_taken_apart_as_the_chart_wants_it(
        self, reference: str, parts: tuple[str, str, str]
    ) -> None:
        assert split_reference(reference) == parts

    def test_the_chart_is_given_every_part_so_that_no_default_stays(self) -> None:
        values = chart_values({"runner": "example.com/runner@sha256:ab"})

        assert values == [
            "--set-string", "images.runner.repository=example.com/runner",
            "--set-string", "images.runner.tag=",
            "--set-string", "images.runner.digest=sha256:ab",
        ]  # fmt: skip
