// Stored files in a bucket that goes silent. What a real S3 does is held by world/media.test.ts.

import { hash } from 'node:crypto'
import { existsSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { MediaStore } from '../../src/media/media-store.ts'
import { createS3Store } from '../../src/media/s3-store.ts'
import { createConnector } from '../../src/upstream/way.ts'

async function bucket (t: Test, answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<MediaStore> {
  const server = createServer(answer)
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('it listens on no port')
  const store = await createS3Store({
    address: { name: 'pictures', prefix: '', endpoint: `http://127.0.0.1:${address.port}`, region: null },
    keys: () => ({ accessKeyId: 'id', secretAccessKey: 'secret', sessionToken: null }),
    connect: createConnector({ proxy: null, timeoutMs: 5000 })
  })
  t.teardown(async () => {
    await store.close()
    server.closeAllConnections()
    server.close()
  })
  return store
}

const name = `${hash('sha256', 'x')}.txt`

for (const silent of ['HEAD', 'PUT']) {
  t.test(`who stores a file waits for a silent bucket (${silent}) as long as the signal says`, async t => {
    const aborted = new AbortController()
    const store = await bucket(t, ({ method }, response) => {
      if (method === silent) aborted.abort()
      else response.writeHead(404).end()
    })
    const path = join(store.spoolFolder, 'a')
    writeFileSync(path, 'x')
    await t.rejects(store.put(name, { path, bytes: 1, type: 'text/plain' }, aborted.signal), { name: 'AbortError' })
  })
}

t.test('the spool of a bucket goes with it', async t => {
  const store = await bucket(t, (_request, response) => { response.end() })
  t.ok(existsSync(store.spoolFolder))
  await store.close()
  t.notOk(existsSync(store.spoolFolder))
})
