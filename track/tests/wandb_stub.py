"""As much of W&B's service as `wandb sync` and `wandb agent` ask for, on a free port of this machine, which is printed. GET /state tells what
it was sent.

A sweep is a JSON file that is named as the argument: `config`, as it would be given to `wandb sweep`, and `runs`, a list of {"id": …, "args": {…}}. An
agent is given one after the other, each once the one before has ended, and then is told to exit.
"""

import base64
import gzip
import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RUNS = {}
FILES = {}
ARTIFACTS = []
OPERATIONS = []
SWEEP = json.load(open(sys.argv[1])) if len(sys.argv) > 1 else None
# What the agent said runs at each of its calls.
HEARTBEATS = []


def run_of(name):
    return RUNS.setdefault(
        name,
        {"history": [], "summary": {}, "config": {}, "upserts": [], "complete": None, "exit": None, "preempting": False, "files": []},
    )


def bucket(name):
    run = run_of(name)
    project = {"id": "p", "name": "ood", "entity": {"id": "e", "name": "me"}}
    return {
        "id": "id-" + name,
        "name": name,
        "displayName": name,
        "description": "",
        "config": json.dumps(run["config"]),
        "sweepName": None,
        "historyLineCount": len(run["history"]),
        "logLineCount": 0,
        "eventsLineCount": 0,
        "historyTail": json.dumps([json.dumps(row) for row in run["history"][-1:]]),
        "eventsTail": "[]",
        "summaryMetrics": json.dumps(run["summary"]),
        "tags": run["upserts"][-1].get("tags") or [],
        "notes": None,
        "wandbConfig": json.dumps({"t": 1}),
        "project": project,
    }


def commands(running):
    """What the agent is to do next. `exit` would kill what runs, so that it is said only when nothing does."""
    HEARTBEATS.append(sorted(running))
    if running:
        return []
    if not SWEEP["runs"]:
        return [{"type": "exit"}]
    run = SWEEP["runs"].pop(0)
    args = {name: {"value": value} for name, value in run["args"].items()}
    return [{"type": "run", "run_id": run["id"], "program": SWEEP["config"]["program"], "args": args}]


def create_artifact(wanted):
    """A version of an artifact, by what its manifest says: the same files make no further version."""
    same = ("artifactCollectionName", "digest")
    for artifact in ARTIFACTS:
        if all(artifact[key] == wanted[key] for key in same):
            artifact["clients"].append(wanted["clientID"])
            return artifact
    artifact = {**wanted, "id": "artifact-" + wanted["clientID"][:20], "state": "PENDING", "clients": [wanted["clientID"]]}
    ARTIFACTS.append(artifact)
    return artifact


def artifact_file(artifact, name):
    """Where a file of an artifact is to be put."""
    return {"id": name, "uploadUrl": "http://127.0.0.1:%d/up/%s/%s" % (SERVER.server_port, artifact, name), "uploadHeaders": []}


def graphql(request):
    query, variables = request["query"], request.get("variables") or {}
    OPERATIONS.append(request.get("operationName") or query.strip()[:40])
    if "upsertBucket" in query:
        name = variables["name"]
        inserted = name not in RUNS
        run = run_of(name)
        run["upserts"].append(variables)
        if variables.get("config"):
            run["config"] = json.loads(variables["config"])
        return {"upsertBucket": {"bucket": bucket(name), "inserted": inserted}}
    if "RunResumeStatus" in query:
        name = variables["name"]
        return {"model": {"id": "p", "name": "ood", "entity": {"id": "e", "name": "me"}, "bucket": bucket(name) if name in RUNS else None}}
    if "createRunFiles" in query:
        url = "http://127.0.0.1:%d/up/%s/" % (SERVER.server_port, variables["run"])
        files = [{"name": name, "uploadUrl": url + name} for name in variables["files"]]
        return {"createRunFiles": {"runID": "id", "uploadHeaders": [], "files": files}}
    if "mutation CreateArtifactManifest" in query:
        file = artifact_file(variables["artifactID"], variables["name"])
        return {"createArtifactManifest": {"artifactManifest": {"id": "manifest-of-" + variables["artifactID"], "file": file}}}
    if "mutation CreateArtifactFiles" in query:
        wanted = variables["input"]["artifactFiles"]
        nodes = [{**artifact_file(file["artifactID"], file["name"]), "artifact": {"id": file["artifactID"]}} for file in wanted]
        return {"createArtifactFiles": {"files": {"edges": [{"node": node} for node in nodes]}}}
    if "mutation CreateArtifact" in query:
        artifact = create_artifact(variables["input"])
        return {"createArtifact": {"artifact": {"id": artifact["id"], "state": artifact["state"], "artifactSequence": {"latestArtifact": None}}}}
    if "mutation CommitArtifact" in query:
        artifact = next(artifact for artifact in ARTIFACTS if artifact["id"] == variables["artifactID"])
        before = [other for other in ARTIFACTS if other["artifactCollectionName"] == artifact["artifactCollectionName"] and "version" in other]
        artifact.update(state="COMMITTED", version="v%d" % len(before))
        return {"commitArtifact": {"artifact": {"id": artifact["id"], "digest": artifact["digest"]}}}
    if "SweepWithRuns" in query:
        # The configuration is YAML, which JSON is too.
        sweep = {"id": "s", "name": variables["sweep"], "state": "RUNNING", "config": json.dumps(SWEEP["config"]), "runs": {"edges": []}}
        return {"project": {"sweep": sweep}}
    if "createAgent" in query:
        return {"createAgent": {"agent": {"id": "agent"}}}
    if "agentHeartbeat" in query:
        said = json.dumps(commands(json.loads(variables["runState"])))
        return {"agentHeartbeat": {"agent": {"id": "agent"}, "commands": said}}
    if "viewer" in query.lower():
        viewer = {"id": "u", "entity": "me", "username": "me", "email": "me@here", "flags": "{}", "teams": {"edges": []}}
        return {"viewer": viewer, "serverInfo": {"cliVersionInfo": {"max_cli_version": "9.9.9"}, "latestLocalVersionInfo": None}}
    if "ServerFeaturesQuery" in query:
        return {"serverInfo": {"features": []}}
    if "__type" in query or "__schema" in query:
        return {"QueryType": {"fields": []}, "MutationType": {"fields": []}, "ServerInfoType": {"fields": []}, "__type": {"inputFields": []}}
    return {}


def file_stream(name, request):
    run = run_of(name)
    for file, part in request.get("files", {}).items():
        lines = [json.loads(line, parse_constant=str) for line in part["content"]]
        if file == "wandb-history.jsonl":
            # The service puts lines where they are said to belong.
            at = part["offset"]
            run["history"][at : at + len(lines)] = lines
        if file == "wandb-summary.json" and lines:
            run["summary"] = lines[-1]
    run["files"] += request.get("uploaded", [])
    run["preempting"] |= bool(request.get("preempting"))
    if "complete" in request:
        run["complete"], run["exit"] = request["complete"], request.get("exitcode")
    return {"exitcode": 0, "limits": {}}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        answer = {}
        stream = re.search("/([^/]+)/file_stream$", self.path)
        if self.path == "/state":
            answer = {"runs": RUNS, "files": FILES, "artifacts": ARTIFACTS, "operations": OPERATIONS, "heartbeats": HEARTBEATS}
        elif self.path == "/graphql":
            answer = {"data": graphql(json.loads(body))}
        elif self.path.startswith("/up/"):
            FILES[self.path[len("/up/") :]] = base64.b64encode(body).decode()
        elif stream:
            answer = file_stream(stream[1], json.loads(body))
        answer = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PUT = do


SERVER = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(SERVER.server_port, flush=True)
SERVER.serve_forever()
