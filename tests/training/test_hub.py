from __future__ import annotations

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from langchain_agentrm._files import write_manifest
from langchain_agentrm.errors import AgentRMError, CheckpointError, ConfigurationError

pytest.importorskip("huggingface_hub", reason="the train extra is absent")

from langchain_agentrm.training.dialogues import DialoguesConfig, convert_dialogues
from langchain_agentrm.training.hub import (
    CardConfig,
    pull_from_hub,
    push_to_hub,
    write_card,
)


@pytest.fixture(autouse=True)
def online(monkeypatch):
    """Let the library ask the hub that a test starts; `make` sets it offline."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


TOKEN = "hf_secretsecretsecretsecretsecret"  # a token's form, nobody's token


class FakeHub(ThreadingHTTPServer):
    """The few answers of the hub that an upload and a download need."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repos, self.tokens, self.refuse = {}, set(), None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def login(self):
        return {"endpoint": self.url, "token": TOKEN}

    def commit(self, repo, lines):
        files = self.repos[repo]["files"]
        for line in lines:
            if line["key"] == "file":
                value = line["value"]
                files[value["path"]] = base64.b64decode(value["content"])
        digest = hashlib.sha256(repr(sorted(files.items())).encode())
        self.repos[repo]["sha"] = digest.hexdigest()[:40]
        return self.repos[repo]["sha"]


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def _send(self, body=None, status=200, **headers):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _refused(self):
        self.server.tokens.add(self.headers.get("authorization"))
        if self.server.refuse is None:
            return False
        said = f"no, {self.headers.get('authorization')}"
        self._send({"error": said}, self.server.refuse, X_Error_Message=said)
        return True

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self._refused():
            return
        path = self.path.split("?")[0]
        if path == "/api/repos/create":
            made = json.loads(body)
            repo = f"{made['organization']}/{made['name']}"
            fresh = {"files": {}, "sha": "0" * 40, **made}
            self.server.repos.setdefault(repo, fresh)
            self._send({"url": f"{self.server.url}/{repo}"})
        elif "/preupload/" in path:
            files = json.loads(body)["files"]
            modes = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                for f in files
            ]
            self._send({"files": modes})
        elif "/commit/" in path:
            repo = "/".join(path.split("/")[3:5])
            lines = [json.loads(line) for line in body.splitlines()]
            sha = self.server.commit(repo, lines)
            self._send(
                {
                    "commitUrl": f"{self.server.url}/{repo}/commit/{sha}",
                    "commitOid": sha,
                }
            )
        elif path == "/api/validate-yaml":
            self._send({"errors": [], "warnings": []})
        else:
            self._send({"error": path}, 404)

    def do_GET(self):
        if self._refused():
            return
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[0] == "api":
            repo = self.server.repos.get("/".join(parts[2:4]))
            if repo is None:
                self._send({"error": "absent"}, 404, X_Error_Code="RepoNotFound")
            elif "tree" in parts:
                entries = [
                    {"type": "file", "path": name, "size": len(data), "oid": "0"}
                    for name, data in repo["files"].items()
                ]
                self._send(entries)
            else:
                names = [{"rfilename": name} for name in repo["files"]]
                self._send(
                    {"id": "/".join(parts[2:4]), "sha": repo["sha"], **_SIB(names)}
                )
            return
        if parts[0] == "datasets":
            parts = parts[1:]
        repo, name = self.server.repos["/".join(parts[:2])], "/".join(parts[4:])
        data = repo["files"][name]
        etag = hashlib.sha1(data).hexdigest()
        self._send(data, ETag=f'"{etag}"', X_Repo_Commit=repo["sha"])

    do_HEAD = do_GET  # noqa: N815 - the server's own name


def _SIB(names):  # noqa: N802
    return {"siblings": names, "private": False, "tags": [], "downloads": 0, "likes": 0}


@pytest.fixture
def hub(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    server = FakeHub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    (folder / "adapter").mkdir(parents=True)
    (folder / "checkpoints").mkdir()
    card = {"kind": "policy", "base": "meta/small", "mode": "lora"}
    (folder / "agentrm.json").write_text(json.dumps(card))
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "adapter" / "adapter_model.safetensors").write_bytes(b"adapter")
    (folder / "training_state.pt").write_bytes(b"pickle")
    (folder / "checkpoints" / "optimizer.json").write_text("{}")
    write_manifest(
        folder,
        stage="sft",
        config={"seed": 0, "lr": 1e-4, "data": "d1"},
        inputs={"data": "d1"},
        counts={"rows": 7, "history": [{"loss": 1.0}]},
        seconds=1.0,
        outputs=["model.safetensors"],
    )
    write_card(folder, [], CardConfig("me/policy"))
    return folder


def test_a_model_goes_up_and_comes_back(hub, model, tmp_path):
    sha = push_to_hub(model, "me/policy", **hub.login)
    made = hub.repos["me/policy"]
    assert sha == made["sha"]
    assert made["visibility" if "visibility" in made else "private"] in (
        True,
        "private",
    )
    assert sorted(made["files"]) == [
        "README.md",
        "adapter/adapter_model.safetensors",
        "agentrm.json",
        "manifest.json",
        "model.safetensors",
    ]
    assert hub.tokens == {f"Bearer {TOKEN}"}
    made["files"]["evil.py"] = b"print()"
    made["files"]["adapter/evil.py"] = b"print()"
    made["files"]["pytorch_model.bin"] = b"pickle"
    back = pull_from_hub("me/policy", tmp_path / "back", **hub.login)
    names = {p.name for p in back.iterdir() if not p.name.startswith(".")}
    assert names == {
        *("README.md", "adapter", "agentrm.json", "manifest.json"),
        "model.safetensors",
    }
    assert (back / "model.safetensors").read_bytes() == b"weights"
    assert [p.name for p in (back / "adapter").iterdir()] == [
        "adapter_model.safetensors"
    ]


def test_a_data_set_goes_up_and_comes_back(hub, tmp_path):
    said = [{"role": "user", "content": "go"}, {"role": "assistant", "content": "up"}]
    rows = tmp_path / "maze.json"
    rows.write_text(json.dumps([{"id": 1, "messages": said}]))
    convert_dialogues(DialoguesConfig(), [rows], tmp_path / "data")
    with pytest.raises(ConfigurationError, match=r"no README\.md"):
        push_to_hub(tmp_path / "data", "me/rows", "dataset", **hub.login)
    write_card(tmp_path / "data", [], CardConfig("me/rows", licence="mit"))
    push_to_hub(tmp_path / "data", "me/rows", "dataset", **hub.login)
    back = pull_from_hub("me/rows", tmp_path / "b", "dataset", **hub.login)
    name = "trajectories.jsonl"
    assert (back / name).read_bytes() == (tmp_path / "data" / name).read_bytes()
    assert "license: mit" in (back / "README.md").read_text()


@pytest.mark.parametrize(
    ("status", "words", "retryable"),
    [
        (401, "HF_TOKEN", False),
        (403, "may write", False),
        (404, "Check the name", False),
    ],
)
def test_refusals_name_the_remedy_and_never_the_token(
    hub, model, tmp_path, caplog, capfd, status, words, retryable
):
    hub.refuse = status
    for logger in ("langchain_agentrm", "huggingface_hub"):
        caplog.set_level("DEBUG", logger)
    with pytest.raises(AgentRMError, match=f"{status} for me/policy") as caught:
        push_to_hub(model, "me/policy", **hub.login)
    assert words in str(caught.value)
    assert caught.value.retryable is retryable
    with pytest.raises(AgentRMError) as other:
        pull_from_hub("me/policy", tmp_path / "b", **hub.login)
    shown = capfd.readouterr()
    for text in (str(caught.value), str(other.value), caplog.text, *shown):
        assert TOKEN not in text
    assert caught.value.__cause__ is None


def test_a_hub_out_of_reach_can_be_tried_again(hub, model, tmp_path):
    hub.server_close()
    calls = (
        lambda: push_to_hub(model, "me/policy", **hub.login),
        lambda: pull_from_hub("me/policy", tmp_path / "b", **hub.login),
    )
    for call in calls:
        with pytest.raises(AgentRMError, match="could not be reached") as caught:
            call()
        assert caught.value.retryable


def test_what_is_not_whole_is_refused(hub, model, tmp_path):
    with pytest.raises(ConfigurationError, match="owner/name"):
        push_to_hub(model, "a/b/c", **hub.login)
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r"lacks 1 of 2 shards: model-1"):
        push_to_hub(model, "me/policy", **hub.login)
    (model / "model.safetensors.index.json").unlink()
    card = {"kind": "reward", "serializer": "agentrm-v0"}
    (model / "agentrm.json").write_text(json.dumps(card))
    push_to_hub(model, "me/rm", **hub.login)
    with pytest.raises(CheckpointError, match="rendering 'agentrm-v0'"):
        pull_from_hub("me/rm", tmp_path / "b", **hub.login)
    del hub.repos["me/rm"]["files"]["model.safetensors"]
    with pytest.raises(CheckpointError, match=r"holds no \*\.safetensors"):
        pull_from_hub("me/rm", tmp_path / "c", **hub.login)
    (model / "manifest.json").unlink()
    with pytest.raises(ConfigurationError, match=r"no manifest\.json"):
        push_to_hub(model, "me/policy", **hub.login)


FIGURE = {
    "method": "best-of-5",
    "split": "held_out",
    "episodes": 600,
    "success": 0.6,
    "ci_low": 0.55,
    "ci_high": 0.64,
    "delta": 0.12,
    "delta_low": 0.09,
    "delta_high": 0.15,
}


def test_the_card_says_what_the_manifests_say(model, tmp_path):
    from huggingface_hub import ModelCard

    data = tmp_path / "data"
    data.mkdir()
    (data / "rows").write_text("x")
    made = write_manifest(
        data,
        stage="dialogues",
        config={"seed": 0},
        inputs={},
        counts={"by_split": {"train": 5, "val": 2}},
        seconds=1.0,
        outputs=["rows"],
    )
    manifest = json.loads((model / "manifest.json").read_text())
    manifest["inputs"] = {"data": made["outputs"]["rows"], "base": "other"}
    (model / "manifest.json").write_text(json.dumps(manifest))
    config = CardConfig("me/policy", "llama3", [FIGURE], ["It speaks English only."])
    text = write_card(model, [data], config).read_text()
    for line in (
        "| dialogues | " + made["date"][:10] + " | 0 | by_split (train 5, val 2) |",
        "- `data` is `rows` of stage `dialogues`",
        "- `base` is `other`, not among the stages above",
        "| lr | 0.0001 |",
        "| held_out | best-of-5 | 60.0 [55.0, 64.0] | +12.0 [+9.0, +15.0] | 600 |",
        "- It speaks English only.",
        'from_pretrained("me/policy")',
        "from `meta/small` (lora)",
    ):
        assert line in text, line
    assert "history" not in text
    assert "## Licence" not in text
    parsed = ModelCard(text).data
    assert parsed.base_model == "meta/small"
    assert parsed.license == "llama3"
    assert parsed.eval_results[0].metric_value == 0.6
    assert parsed.pipeline_tag == "text-generation"
    unstated = write_card(model, [data], CardConfig("me/policy")).read_text()
    assert "license" not in unstated.partition("\n---\n")[0]
    assert "Not stated yet" in unstated
    assert "None were measured" in unstated


def test_a_reward_model_names_its_rendering_and_no_folder(model):
    from langchain_agentrm.trajectory import SERIALIZER

    card = {"kind": "reward", "base": "/home/me/policy"}
    (model / "agentrm.json").write_text(json.dumps(card))
    text = write_card(model, [], CardConfig("me/rm")).read_text()
    assert f"as `{SERIALIZER}` renders" in text
    assert "/home/me" not in text
    assert "pipeline_tag: text-classification" in text


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"ci_low": 0.7}, "outside its interval"), ({"ci_high": None}, "lacks ci_high")],
)
def test_a_figure_without_its_interval_is_refused(model, change, reason):
    row = {k: v for k, v in {**FIGURE, **change}.items() if v is not None}
    with pytest.raises(ConfigurationError, match=reason):
        write_card(model, [], CardConfig("me/policy", figures=[row]))


def test_stages_without_a_manifest_and_unknown_kinds_are_refused(model, tmp_path):
    with pytest.raises(ConfigurationError, match=r"no manifest\.json"):
        write_card(model, [tmp_path], CardConfig("me/policy"))
    (model / "agentrm.json").write_text('{"kind": "judge"}')
    with pytest.raises(ConfigurationError, match="kind='judge'"):
        write_card(model, [], CardConfig("me/policy"))
