#!/usr/bin/env bash
# ioredis 6.0.0: a cluster client whose user may not run CLUSTER INFO is never ready, and no error says why.
#
# Behaviour: the ready check of `Cluster` asks CLUSTER INFO. Where the user may run CLUSTER SLOTS and every data command, but not that one, the client goes
# round and round between "connect" and "close"; each "error" event is missing or speaks of the connection, and NOPERM is never told. A client for a single
# server whose user may not run INFO is ready all the same. With `enableReadyCheck: false`, or with the right to CLUSTER INFO, the cluster client is ready.
# Seen with: ioredis 6.0.0, redis-server 7.0.15, Node 20. Needs node, npm and redis-server (or valkey-server) on the PATH.
set -euo pipefail
folder=$(mktemp -d)
trap 'for file in "$folder"/*.pid; do [ -f "$file" ] && kill "$(cat "$file")" 2> /dev/null; done; rm -rf "$folder"' EXIT
cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund ioredis@6.0.0
free() { node -e "const s=require('net').createServer().listen(0,'127.0.0.1',()=>{console.log(s.address().port);s.close()})"; }
server=$(command -v redis-server || command -v valkey-server)
port=$(free); bus=$(free)
"$server" --port "$port" --bind 127.0.0.1 --save '' --daemonize yes --dir "$folder" --pidfile "$folder/a.pid" --cluster-enabled yes --cluster-port "$bus" --cluster-announce-ip 127.0.0.1 > /dev/null
cat > try.mjs <<'JS'
import { once } from 'node:events'
import { Cluster, Redis } from 'ioredis'
const port = Number(process.argv[2])
const admin = new Redis(port, '127.0.0.1')
await admin.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
while (!String(await admin.call('CLUSTER', 'INFO')).includes('cluster_state:ok')) await new Promise(resolve => setTimeout(resolve, 50))
await admin.call('ACL', 'SETUSER', 'user', 'on', '>secret', '~*', '-@all', '+get', '+set', '+cluster|slots')
const credentials = { username: 'user', password: 'secret' }

async function outcome (client) {
  const told = new Set()
  client.on('error', error => told.add(`${error.message} ${error.lastNodeError?.message ?? ''}`.includes('NOPERM')))
  const seen = await Promise.race([once(client, 'ready').then(() => 'ready'), new Promise(resolve => setTimeout(resolve, 3000, 'never ready within 3 s'))])
  client.disconnect()
  return `${seen}${told.has(true) ? ', NOPERM is told' : ', NOPERM is not told'}`
}

const cluster = options => new Cluster([{ host: '127.0.0.1', port }], { redisOptions: credentials, clusterRetryStrategy: () => 100, ...options })
console.log(`single server without INFO: ${await outcome(new Redis({ host: '127.0.0.1', port, ...credentials }))}`)
console.log(`cluster without CLUSTER INFO: ${await outcome(cluster({}))}`)
console.log(`the same, enableReadyCheck: false: ${await outcome(cluster({ enableReadyCheck: false }))}`)
await admin.call('ACL', 'SETUSER', 'user', '+cluster|info')
console.log(`cluster with CLUSTER INFO: ${await outcome(cluster({}))}`)
admin.disconnect()
process.exit()
JS
for _ in $(seq 100); do (: < "/dev/tcp/127.0.0.1/$port") 2> /dev/null && break; sleep 0.1; done
seen=$(node try.mjs "$port")
expected="single server without INFO: ready, NOPERM is not told
cluster without CLUSTER INFO: never ready within 3 s, NOPERM is not told
the same, enableReadyCheck: false: ready, NOPERM is not told
cluster with CLUSTER INFO: ready, NOPERM is not told"
echo "$seen"
[ "$seen" = "$expected" ] || { echo "changed: expected $expected" >&2; exit 1; }
