#!/usr/bin/env bash
# moto 5.2.5 as an S3 stores a body that its own digests say is another one.
#
# Behaviour: a PUT whose `x-amz-content-sha256`, `content-md5` or `x-amz-checksum-sha256` is that of an empty body, with five bytes in it, is answered with 200 and
# stored. S3 documents 400 for each of them (XAmzContentSHA256Mismatch, BadDigest), so a test against moto says nothing of a client that relies on being refused.
# Seen with: moto 5.2.5, aws4fetch 1.0.20, Python 3.11, Node 20. Needs node, npm and python3 with venv on the PATH.
set -euo pipefail
folder=$(mktemp -d)
trap '[ -f "$folder/pid" ] && kill "$(cat "$folder/pid")" 2> /dev/null; rm -rf "$folder"' EXIT
cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund aws4fetch@1.0.20
python3 -m venv python
python/bin/pip --quiet --disable-pip-version-check install 'moto[server]==5.2.5'
port=$(node -e "const s=require('net').createServer().listen(0,'127.0.0.1',()=>{console.log(s.address().port);s.close()})")
python/bin/moto_server -H 127.0.0.1 -p "$port" > server.log 2>&1 & echo $! > pid
for _ in $(seq 200); do (: < "/dev/tcp/127.0.0.1/$port") 2> /dev/null && break; sleep 0.1; done
cat > try.mjs <<'JS'
import { AwsClient } from 'aws4fetch'
const client = new AwsClient({ accessKeyId: 'example', secretAccessKey: 'example', service: 's3', region: 'us-east-1', retries: 0 })
const bucket = `http://127.0.0.1:${process.argv[2]}/bucket`
await (await client.fetch(bucket, { method: 'PUT' })).text()
const ofNothing = {
  'x-amz-content-sha256': 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  'content-md5': '1B2M2Y8AsgTpgAmY7PhCfg==',
  'x-amz-checksum-sha256': '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='
}
for (const [name, digest] of Object.entries(ofNothing)) {
  const put = await client.fetch(`${bucket}/${name}`, { method: 'PUT', body: 'hello', headers: { [name]: digest } })
  await put.text()
  console.log(`${name}: ${put.status}, ${await (await client.fetch(`${bucket}/${name}`)).text()}`)
}
JS
seen=$(node try.mjs "$port")
expected="x-amz-content-sha256: 200, hello
content-md5: 200, hello
x-amz-checksum-sha256: 200, hello"
echo "$seen"
[ "$seen" = "$expected" ] || { echo "changed: expected $expected" >&2; exit 1; }
