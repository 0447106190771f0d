#!/usr/bin/env bash
# openai 7.59.0 for Node takes the request option `idempotencyKey` and sends nothing of it.
#
# Behaviour: `images.generate(body, { idempotencyKey: 'one' })` compiles, since the type of the options has the field, and the request has no header Idempotency-Key (nor another
# with that value), on the first try and on repeated ones. `{ headers: { 'Idempotency-Key': 'one' } }` sends it, the same on each try. Who counts on the option pays twice for a lost answer.
# Seen with: openai 7.59.0, Node 20. Needs node and npm on the PATH.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund openai@7.59.0
cat > try.mjs <<'JS'
import { createServer } from 'node:http'
import { readFileSync, readdirSync } from 'node:fs'
import OpenAI from 'openai'

const seen = []
const server = createServer((request, response) => {
  seen.push(Object.entries(request.headers).filter(([name, value]) => name === 'idempotency-key' || value === 'one').map(([name]) => name).join() || 'none')
  // The first try of each call fails in a way that is repeated.
  response.writeHead(seen.length % 2 === 1 ? 500 : 200, { 'content-type': 'application/json', 'retry-after-ms': '1' }).end('{"created":1,"data":[]}')
})
await new Promise(resolve => { server.listen(0, '127.0.0.1', resolve) })
const client = new OpenAI({ baseURL: `http://127.0.0.1:${server.address().port}/v1`, apiKey: 'k' })
await client.images.generate({ prompt: 'a' }, { idempotencyKey: 'one' })
await client.images.generate({ prompt: 'a' }, { headers: { 'Idempotency-Key': 'one' } })
server.close()
console.log(`as an option: ${seen.slice(0, 2).join(' ')}`)
console.log(`as a header: ${seen.slice(2).join(' ')}`)
console.log(`the type has the option: ${readFileSync('node_modules/openai/internal/request-options.d.ts', 'utf8').includes('idempotencyKey?: string')}`)
JS
seen=$(node try.mjs)
expected='as an option: none none
as a header: idempotency-key idempotency-key
the type has the option: true'
echo "$seen"
[ "$seen" = "$expected" ] || { echo "changed: expected $expected" >&2; exit 1; }
