#!/usr/bin/env bash
# standardwebhooks 1.0.0 for Node takes the `Headers` of a fetch request for headers that are missing.
#
# Behaviour: `verify(body, headers)` with a plain object of lower-case or capitalised names returns the parsed body. With `new Headers(…)` of the same three, as every
# fetch handler has them (Workers, Deno, Bun, Next.js), it throws "Missing required headers", which sends its reader to the sender. Its Python namesake takes any mapping.
# Seen with: standardwebhooks 1.0.0, Node 20. Needs node and npm on the PATH.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund standardwebhooks@1.0.0
cat > try.mjs <<'JS'
import { Webhook } from 'standardwebhooks'
const webhook = new Webhook(Buffer.from('an example of a secret for a test').toString('base64'))
const now = new Date()
const body = '{"done":true}'
const headers = { 'webhook-id': 'msg_1', 'webhook-timestamp': String(Math.floor(now / 1000)), 'webhook-signature': webhook.sign('msg_1', now, body) }
const capitalised = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.replaceAll(/\b[a-z]/g, letter => letter.toUpperCase()), value]))
for (const [name, given] of Object.entries({ plain: headers, capitalised, Headers: new Headers(headers) })) {
  try {
    console.log(`${name}: ${JSON.stringify(webhook.verify(body, given))}`)
  } catch (error) {
    console.log(`${name}: ${error.message}`)
  }
}
JS
seen=$(node try.mjs)
expected='plain: {"done":true}
capitalised: {"done":true}
Headers: Missing required headers'
echo "$seen"
[ "$seen" = "$expected" ] || { echo "changed: expected $expected" >&2; exit 1; }
