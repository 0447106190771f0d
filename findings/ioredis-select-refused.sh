#!/usr/bin/env bash
# ioredis 6.0.0 goes on in database 0 when Redis refuses the database that it was told to use.
#
# Behaviour: with `db: 99` on a server that has 16 databases the refusal is one `error` event ("ERR DB index is out of range"); the client then becomes
# `ready`, and a SET goes to database 0. An application whose address has a wrong number shares the data of whatever lives in database 0.
# Seen with: ioredis 6.0.0, redis-server 7.0.15, Node 20. Needs node, npm and redis-server (or valkey-server) on the PATH.
set -euo pipefail
folder=$(mktemp -d)
trap '[ -f "$folder/pid" ] && kill "$(cat "$folder/pid")" 2> /dev/null; rm -rf "$folder"' EXIT
cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund ioredis@6.0.0
port=$(node -e "const s=require('net').createServer().listen(0,'127.0.0.1',()=>{console.log(s.address().port);s.close()})")
server=$(command -v redis-server || command -v valkey-server)
"$server" --port "$port" --bind 127.0.0.1 --save '' --daemonize yes --dir "$folder" --pidfile "$folder/pid" > /dev/null
cat > try.mjs <<'JS'
import { Redis } from 'ioredis'
const at = { port: Number(process.argv[2]), host: '127.0.0.1' }
const errors = []
const client = new Redis({ ...at, db: 99, maxRetriesPerRequest: 0 })
client.on('error', error => errors.push(error.message))
await new Promise(resolve => client.once('ready', resolve))
await client.set('where', 'here')
const zero = new Redis(at)
console.log(`errors: ${errors.join()}; status: ${client.status}; in database 0: ${await zero.get('where')}`)
client.disconnect()
zero.disconnect()
JS
for _ in $(seq 50); do (: < "/dev/tcp/127.0.0.1/$port") 2> /dev/null && break; sleep 0.1; done
seen=$(node try.mjs "$port")
expected='errors: ERR DB index is out of range; status: ready; in database 0: here'
echo "$seen"
[ "$seen" = "$expected" ] || { echo "changed: expected $expected" >&2; exit 1; }
