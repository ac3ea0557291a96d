"""Jobs that a fork server runs end as they would by themselves."""

import importlib.util
import os
import re
import select
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from types import ModuleType

import forked_job
import pytest
from forked_job import command, package

from mkd import ROOT
from mkd.workflow import fork_server


@pytest.fixture
def environment(forked: None) -> dict[str, str]:
    """What a job inherits from a workflow that has a server."""
    if fork_server.VARIABLE not in os.environ:
        pytest.skip("no fork server on this system")
    return forked_job.environment()


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The same module without libraries: its server is there at once."""
    file = tmp_path / "bare_fork_server.py"
    text = Path(fork_server.__file__).read_text()
    file.write_text(re.sub(r"^LIBRARIES = \(.*?^\)", "LIBRARIES = ()", text, flags=re.M | re.S))
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.LIBRARIES == ()
    # Set, so that it is put back to what it was.
    monkeypatch.setenv(fork_server.VARIABLE, "")
    return module


def test_a_server_ends_with_its_caller_and_leaves_nothing(
    bare: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Its jobs are for a CPU: it sees no GPU, and a job's environment is the job's own."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    server = bare.start()
    if server is None:
        pytest.skip("no fork server on this system")
    with server:
        main = "import os, signal\n"
        main += "hangup = signal.getsignal(signal.SIGHUP)\n"
        main += "print(os.environ['CUDA_VISIBLE_DEVICES'], os.getppid(), int(hangup))"
        told = os.environ | {"OMP_NUM_THREADS": "1"}
        job = subprocess.Popen(
            command("train"), cwd=package(tmp_path, main), env=told, stdout=subprocess.PIPE
        )
        said, _ = job.communicate(timeout=60)
        visible, parent, hangup = said.split()
        assert visible == b"3"
        # A lost terminal ends a job, but for one under nohup; the server ends behind its caller.
        ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert int(hangup) == (signal.SIG_IGN if ignored else signal.SIG_DFL)
        server.send_signal(signal.SIGHUP)
        # Whether it lives is asked without a word.
        with socket.socket(socket.AF_UNIX) as asked:
            asked.connect(os.environ[fork_server.VARIABLE])
        # Of the server's own family, not the caller's.
        assert int(parent) not in (job.pid, os.getpid())
        own = Path(f"/proc/{server.pid}/environ").read_bytes().split(b"\0")
        assert {b"CUDA_VISIBLE_DEVICES=", b"OMP_NUM_THREADS=1", b"MKL_NUM_THREADS=1"} <= set(own)
        folder = Path(os.environ[fork_server.VARIABLE]).parent
        assert folder.is_dir()
        server.stdin.close()
        server.wait(timeout=60)
    assert not folder.exists()
    assert "Traceback" not in capfd.readouterr().err


def test_a_job_is_forked_with_the_libraries_and_without_the_suite(
    environment: dict[str, str], tmp_path: Path
) -> None:
    folder = package(
        tmp_path,
        "import os\nprint('job', 'torch' in sys.modules, 'mkd.errors' in sys.modules)\n"
        "print(os.getcwd(), sys.argv[1:], os.environ['ASKED'], sys.path[0])",
    )
    done = subprocess.run(
        command("a", "b c"),
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment | {"ASKED": "yes"},
    )
    first, second = done.stdout.splitlines()
    assert first.split()[1:] == ["True", "False"], done.stderr
    assert second == f"{folder} ['a', 'b c'] yes {folder}"
    # Code that changes while the server runs is the code that runs.
    main = folder / "mkd/__main__.py"
    main.write_text(main.read_text().replace("'torch' in sys.modules", "'anew'"))
    done = subprocess.run(
        command(), capture_output=True, text=True, cwd=folder, env=environment | {"ASKED": "yes"}
    )
    assert "anew" in done.stdout, done.stderr


def test_a_jobs_temporary_files_go_where_its_own_environment_says(
    environment: dict[str, str], tmp_path: Path
) -> None:
    folder = package(tmp_path, "import tempfile\nprint(tempfile.gettempdir())")
    done = subprocess.run(
        command(),
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment | {"TMPDIR": str(folder)},
    )
    assert done.stdout == f"{folder}\n", done.stderr


@pytest.mark.parametrize(
    "alone",
    [
        {fork_server.VARIABLE: "/nowhere/socket"},
        {"OMP_NUM_THREADS": "2"},
        {"OMP_NUM_THREADS": "1", "verb": "latency"},
    ],
)
def test_a_job_runs_by_itself_without_a_server_on_more_threads_and_to_time(
    environment: dict[str, str], tmp_path: Path, alone: dict[str, str]
) -> None:
    folder = package(tmp_path, "print('torch' in sys.modules)")
    done = subprocess.run(
        command(alone.get("verb", "train")),
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment | alone,
    )
    assert done.stdout == "False\n", done.stderr


@pytest.mark.parametrize(
    "arguments", [["--version"], ["status", "--config", "scale=dekc"], ["tra"]]
)
def test_words_and_exit_codes_are_those_of_a_process_of_its_own(
    environment: dict[str, str], arguments: list[str]
) -> None:
    without = {name: value for name, value in environment.items() if name != fork_server.VARIABLE}
    forked, alone = (
        subprocess.run(command(*arguments), capture_output=True, text=True, cwd=ROOT, env=env)
        for env in (environment, without)
    )
    assert (forked.returncode, forked.stdout, forked.stderr) == (
        alone.returncode,
        alone.stdout,
        alone.stderr,
    )


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_a_job_whose_caller_dies_ends_politely(
    environment: dict[str, str], tmp_path: Path, ending: signal.Signals
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    folder = package(
        tmp_path,
        "import signal\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
        f"said = open({str(fifo)!r}, 'w', buffering=1)\n"
        "try:\n    print('began', file=said)\n    signal.pause()\n"
        "finally:\n    print('unwound', file=said)",
    )
    caller = subprocess.Popen(command("train"), cwd=folder, env=environment)
    with fifo.open() as said:
        assert said.readline() == "began\n"
        caller.send_signal(ending)
        # One that can wait ends as its job does.
        code = {signal.SIGTERM: 143, signal.SIGKILL: -signal.SIGKILL}[ending]
        assert caller.wait(timeout=60) == code
        assert select.select([said], [], [], 60)[0]
        assert said.readline() == "unwound\n"


def test_a_folder_whose_name_is_too_long_for_a_socket_has_no_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("x" * 100)))
    (tmp_path / ("x" * 100)).mkdir()
    monkeypatch.delenv(fork_server.VARIABLE, raising=False)
    assert fork_server.start() is None
    assert fork_server.VARIABLE not in os.environ
    assert not list((tmp_path / ("x" * 100)).iterdir())


def test_a_server_that_ends_before_it_takes_a_job_is_one_sentence(tmp_path: Path) -> None:
    folder = package(tmp_path, "print('ran')")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        told = os.environ | {fork_server.VARIABLE: f"{tmp_path}/socket", "OMP_NUM_THREADS": "1"}
        job = subprocess.Popen(
            command("train"), cwd=folder, env=told, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        listener.accept()[0].close()
    said, complained = job.communicate(timeout=60)
    assert (job.returncode, said) == (1, b"")
    assert complained.startswith(b"mkd: the fork server is gone")


def test_a_job_that_is_killed_gives_its_signal_as_a_shell_does(
    environment: dict[str, str], tmp_path: Path
) -> None:
    folder = package(tmp_path, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    done = subprocess.run(command("train"), cwd=folder, env=environment)
    assert done.returncode == 128 + signal.SIGKILL


def test_the_folders_of_killed_servers_are_removed_and_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    sockets = {}
    for name in ("dead", "alive", "young"):
        (tmp_path / f"mkd-{name}").mkdir()
        sockets[name] = socket.socket(socket.AF_UNIX)
        sockets[name].bind(str(tmp_path / f"mkd-{name}/socket"))
        if name != "young":
            os.utime(tmp_path / f"mkd-{name}/socket", (0, 0))
    sockets["alive"].listen(1)
    fork_server._remove_dead()
    for each in sockets.values():
        each.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mkd-alive", "mkd-young"]
