#!/usr/bin/env bash
# FastAPI answers 400 without a field for a JSON body whose integer has more than 4,300 digits, where one of 4,300 digits is a value like any other.
#
# Behaviour: CPython refuses to convert integers of more than 4,300 digits (`sys.int_info.default_max_str_digits`) with a ValueError; FastAPI 0.115.6 makes of
# it `{"detail": "There was an error parsing the body"}`: a text, not the list with `loc` by which its clients find the field. The bound is CPython's, so no
# schema of such a service names it.
# Seen with: CPython 3.11.7, FastAPI 0.115.6, pydantic 2.10.4. Needs python3 with venv.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check fastapi==0.115.6 starlette==0.41.3 pydantic==2.10.4 httpx==0.28.1
cat > "$folder/try.py" <<'PY'
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel

class Input(BaseModel):
    prompt: str
    seed: int | None = None

app = FastAPI()

@app.post("/")
def make(given: Input):
    return {"digits": len(str(given.seed))}

client = TestClient(app)
for digits in (4300, 4301):
    answer = client.post("/", content='{"prompt":"a","seed":' + "7" * digits + "}", headers={"content-type": "application/json"})
    print(digits, answer.status_code, answer.text)
PY
seen=$("$folder/venv/bin/python" "$folder/try.py")
expected='4300 200 {"digits":4300}
4301 400 {"detail":"There was an error parsing the body"}'
echo "$seen"
[ "$seen" = "$expected" ] || { echo "changed: expected $expected" >&2; exit 1; }
