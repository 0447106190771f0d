#!/usr/bin/env bash
# ioredis 6.0.0 without an offline queue hides READONLY behind a sentence about its own queue, when `reconnectOnError` answers 2 (reconnect and resend).
#
# Behaviour: a SET at a read-only replica. With `reconnectOnError: () => true` the promise is rejected with Redis' own READONLY; with `() => 2` and
# `enableOfflineQueue: false` it is rejected with "Stream isn't writeable and enableOfflineQueue options is false", because the command is sent again on the
# connection that has just been closed for it. The word that names the cause never reaches the caller.
# Seen with: ioredis 6.0.0, redis-server 7.0.15, Node 20. Needs node, npm and redis-server (or valkey-server) on the PATH.
set -euo pipefail
folder=$(mktemp -d)
trap 'for file in "$folder"/*.pid; do [ -f "$file" ] && kill "$(cat "$file")" 2> /dev/null; done; rm -rf "$folder"' EXIT
cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund ioredis@6.0.0
free() { node -e "const s=require('net').createServer().listen(0,'127.0.0.1',()=>{console.log(s.address().port);s.close()})"; }
server=$(command -v redis-server || command -v valkey-server)
primary=$(free); replica=$(free)
"$server" --port "$primary" --bind 127.0.0.1 --save '' --daemonize yes --dir "$folder" --pidfile "$folder/a.pid" > /dev/null
"$server" --port "$replica" --bind 127.0.0.1 --save '' --daemonize yes --dir "$folder" --pidfile "$folder/b.pid" --replicaof 127.0.0.1 "$primary" > /dev/null
cat > try.mjs <<'JS'
import { Redis } from 'ioredis'
for (const answer of [true, 2]) {
  const client = new Redis({ port: Number(process.argv[2]), host: '127.0.0.1', lazyConnect: true, maxRetriesPerRequest: 0, enableOfflineQueue: false, reconnectOnError: error => error.message.startsWith('READONLY') ? answer : false })
  client.on('error', () => {})
  await client.connect()
  const said = await client.set('a', '1').catch(error => error.message)
  console.log(`${answer}: ${said}`)
  client.disconnect()
}
JS
for _ in $(seq 100); do (: < "/dev/tcp/127.0.0.1/$replica") 2> /dev/null && break; sleep 0.1; done
seen=$(node try.mjs "$replica")
expected="true: READONLY You can't write against a read only replica.
2: Stream isn't writeable and enableOfflineQueue options is false"
echo "$seen"
[ "$seen" = "$expected" ] || { echo "changed: expected $expected" >&2; exit 1; }
