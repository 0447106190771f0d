#!/usr/bin/env bash
# ioredis with `failoverDetector` stops for good when a failover is told while it asks the Sentinels where the primary is.
#
# Behaviour: the option has ioredis listen to the Sentinels' `+switch-master`, and drop its connection so that it connects to the new primary. When the message
# comes while no connection stands and the Sentinels are just being asked (the usual order of a failover: first the old primary's connections break, then the
# switch is told), the drop is taken for a disconnect that was wanted: the client emits `end`, its status stays `end`, and no retry strategy is asked again. The
# same break without the message is over after one retry.
# Seen with: ioredis 6.0.0, against servers that speak the few commands that it sends. Needs node 20 or newer and npm.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes > /dev/null
npm install --silent --no-audit --no-fund ioredis@6.0.0
cat > try.mjs <<'JS'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { Redis } from 'ioredis'

const bulk = text => `$${Buffer.byteLength(text)}\r\n${text}\r\n`
const array = (...texts) => `*${texts.length}\r\n${texts.map(bulk).join('')}`
const commandsIn = data => String(data).split(/^\*\d+\r\n/m).filter(text => text !== '').map(text => text.replace(/^\$\d+\r\n/gm, '').replaceAll('\r\n', ' ').trim().toLowerCase())

async function serve (answer) {
  const sockets = new Set()
  const server = createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('data', data => { for (const command of commandsIn(data)) answer(command, socket) })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { port: server.address().port, sockets }
}

for (const isTold of [false, true]) {
  const primary = await serve((command, socket) => {
    if (command.startsWith('hello')) socket.write('-NOPROTO unsupported protocol version\r\n')
    else if (command.startsWith('info')) socket.write(bulk('redis_version:7.2.0\r\nrole:master\r\nloading:0\r\n'))
    else if (command.startsWith('role')) socket.write('*3\r\n' + bulk('master') + ':0\r\n*0\r\n')
    else socket.write('+OK\r\n')
  })
  const listeners = new Set()
  let isBroken = false
  const sentinel = await serve((command, socket) => {
    if (command.startsWith('hello')) socket.write('-NOPROTO unsupported protocol version\r\n')
    else if (command.startsWith('subscribe')) {
      listeners.add(socket)
      socket.write('*3\r\n' + bulk('subscribe') + bulk('+switch-master') + ':1\r\n')
    } else if (command.includes('get-master-addr-by-name')) {
      const address = array('127.0.0.1', String(primary.port))
      if (isBroken && isTold) {
        isBroken = false
        for (const listener of listeners) listener.write(array('message', '+switch-master', 'main'))
        setTimeout(() => socket.write(address), 50)
      } else socket.write(address)
    } else socket.write(command.startsWith('sentinel') ? '*0\r\n' : '+OK\r\n')
  })
  const redis = new Redis({ sentinels: [{ host: '127.0.0.1', port: sentinel.port }], name: 'main', failoverDetector: true, retryStrategy: () => 100, sentinelRetryStrategy: () => 100 })
  redis.on('error', () => {})
  await once(redis, 'ready')
  while (listeners.size === 0) await new Promise(resolve => setTimeout(resolve, 20))
  isBroken = true
  const next = new Promise(resolve => { for (const word of ['ready', 'end']) redis.on(word, resolve) })
  for (const socket of primary.sockets) socket.destroy()
  await next
  await new Promise(resolve => setTimeout(resolve, 2000))
  console.log(isTold ? 'failover told while asking:' : 'connection broken, nothing told:', redis.status)
}
process.exit()
JS
seen=$(timeout 60 node try.mjs)
expected='connection broken, nothing told: ready
failover told while asking: end'
echo "$seen"
[ "$seen" = "$expected" ] || { echo "changed: expected $expected" >&2; exit 1; }
