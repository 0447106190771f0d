#!/usr/bin/env bash
# litellm 1.110.2 refuses `response_format="b64_json"` for every model at OpenAI's API or one like it, before anything is sent.
#
# Behaviour: `image_generation(model="openai/…", response_format="b64_json")` raises UnsupportedParamsError, also for `dall-e-3`, for which OpenAI documents the field; the server is not
# asked. So files inside the answer can only be had where a server sends them unasked.
# Seen with: litellm 1.110.2, Python 3.11. Needs python3 with venv on the PATH.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check litellm==1.110.2
cat > try.py <<'PY'
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import litellm

sent = []


class Server(BaseHTTPRequestHandler):
    def do_POST(self):
        sent.append(json.loads(self.rfile.read(int(self.headers["content-length"]))).get("response_format"))
        body = b'{"created":1,"data":[{"b64_json":"AAAA"}]}'
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


server = HTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
for model in ("dall-e-3", "gpt-image-1", "acme/painter"):
    sent.clear()
    try:
        litellm.image_generation(model=f"openai/{model}", api_base=f"http://127.0.0.1:{server.server_port}/v1", api_key="k", prompt="a", response_format="b64_json")
        outcome = "answered"
    except Exception as error:
        outcome = type(error).__name__
    print(f"{model}: {outcome}, sent {sent}")
PY
seen=$(LITELLM_LOCAL_MODEL_COST_MAP=True venv/bin/python try.py 2> /dev/null | grep -E '^(dall-e|gpt-image|acme)')
echo "$seen"
expected="dall-e-3: UnsupportedParamsError, sent []
gpt-image-1: UnsupportedParamsError, sent []
acme/painter: UnsupportedParamsError, sent []"
[ "$seen" = "$expected" ] || { echo "changed: expected $expected" >&2; exit 1; }
