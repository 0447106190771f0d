#!/usr/bin/env bash
# aws4fetch 1.0.20 sends a stream again that it has read, so a PUT of a stream that an S3 answers with 503 fails with a TypeError about the body.
#
# Behaviour: `AwsClient.fetch` repeats after 429 and 5xx (ten times by default). With a text as body the second try goes out whole. With a ReadableStream
# (`duplex: 'half'`) the same call rejects with "Response body object should not be disturbed or locked": the status that caused it is never told, and one attempt was
# made. With `retries: 0` the caller is given the 503.
# Seen with: aws4fetch 1.0.20, Node 20. Needs node and npm on the PATH.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund aws4fetch@1.0.20
cat > try.mjs <<'JS'
import { createServer } from 'node:http'
import { AwsClient } from 'aws4fetch'
let asked = 0
const server = createServer((request, response) => {
  request.resume().on('end', () => { response.writeHead(++asked === 1 ? 503 : 200).end() })
}).listen(0, '127.0.0.1', async () => {
  const url = `http://127.0.0.1:${server.address().port}/bucket/key`
  for (const [name, body, retries] of [['text', () => 'hello', 3], ['stream', () => new Blob(['hello']).stream(), 3], ['stream, no retries', () => new Blob(['hello']).stream(), 0]]) {
    asked = 0
    const client = new AwsClient({ accessKeyId: 'example', secretAccessKey: 'example', service: 's3', region: 'us-east-1', retries })
    const said = await client.fetch(url, { method: 'PUT', body: body(), duplex: 'half' }).then(({ status }) => status, error => error.message)
    console.log(`${name}: ${said}; asked ${asked} times`)
  }
  server.close()
})
JS
seen=$(node try.mjs)
expected='text: 200; asked 2 times
stream: Response body object should not be disturbed or locked; asked 1 times
stream, no retries: 503; asked 1 times'
echo "$seen"
[ "$seen" = "$expected" ] || { echo "changed: expected $expected" >&2; exit 1; }
