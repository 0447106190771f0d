#!/usr/bin/env bash
# openai 3.57.0 for Python writes a list of objects into a form in a way from which nobody can read which member belongs to which object.
#
# Behaviour: `images.edit(…, extra_body={"loras": [{"path": "a"}, {"path": "b", "scale": 2}]})` and the same with the scale at the first one are the same form, as members are sent by name and not by
# object: `loras[][path]` twice, then `loras[][scale]`. Node's library sends them object by object. A server that puts them together has to guess.
# Seen with: openai 3.57.0, Python 3.11. Needs python3 with venv on the PATH.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv python
python/bin/python -m pip install --quiet --disable-pip-version-check openai==3.57.0
cat > try.py <<'PY'
import re
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

from openai import OpenAI


class Recorder(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        print(" ".join(f"{name}={value}" for name, value in re.findall(r'name="(loras[^"]*)"\r\n\r\n(.*)\r\n', body)))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(b'{"created":1,"data":[]}')

    def log_message(self, *args):
        pass


server = HTTPServer(("127.0.0.1", 0), Recorder)
Thread(target=server.serve_forever, daemon=True).start()
client = OpenAI(base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key="k")
for loras in [{"path": "a"}, {"path": "b", "scale": 2}], [{"path": "a", "scale": 2}, {"path": "b"}]:
    client.images.edit(image=b"a", prompt="a", extra_body={"loras": loras})
PY
seen=$(python/bin/python try.py)
expected='loras[][path]=a loras[][path]=b loras[][scale]=2
loras[][path]=a loras[][path]=b loras[][scale]=2'
echo "$seen"
[ "$seen" = "$expected" ] || { echo "changed: expected $expected" >&2; exit 1; }
