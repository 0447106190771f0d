// How long a connection is kept on which nothing is asked: a proxy that keeps its own for a shorter time never sends into one that is being closed.

import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { startGateway } from '../support/gateway.ts'

t.test('a connection that idles is kept as long as its client is told, and then closed', async t => {
  const { url } = await startGateway(t, { env: { KEEP_ALIVE_SECONDS: '1' } })
  const socket = connect(Number(new URL(url).port), '127.0.0.1').setEncoding('latin1')
  t.teardown(() => { socket.destroy() })
  let received = ''
  socket.on('data', text => { received += String(text) })
  const ended = once(socket, 'end')
  for (let asked = 1; asked <= 2; asked++) {
    const answered = once(socket, 'data')
    socket.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n')
    await answered
  }
  t.equal(received.match(/HTTP\/1\.1 200 OK/g)?.length, 2, 'it was used twice')
  t.match(received, /^keep-alive: timeout=1\r$/im)
  await ended
})
