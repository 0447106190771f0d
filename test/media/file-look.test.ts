// A look at a file that lies elsewhere: by its head, at hosts that are fetched from, and nowhere else.

import t from 'tap'
import { createAddressRule } from '../../src/media/address-rule.ts'
import { createFileLook } from '../../src/media/file-look.ts'
import { lookUpPublic } from '../../src/public-address.ts'
import { createConnector } from '../../src/upstream/way.ts'
import { startFileServer } from '../support/file-server.ts'

const long = AbortSignal.timeout(60_000)

t.test('only 404 and 410 mean that it is gone, it is asked for its head, and no other place is gone to', async t => {
  const server = await startFileServer(t)
  const elsewhere = await startFileServer(t)
  const { isGone, close } = createFileLook({
    allowed: createAddressRule({ hosts: [], ownOrigins: () => [server.url] }),
    connect: { public: createConnector({ proxy: null, timeoutMs: 1000, lookup: lookUpPublic }), ours: createConnector({ proxy: null, timeoutMs: 1000 }) }
  })
  t.teardown(close)
  for (const [status, gone] of [[200, false], [404, true], [410, true], [401, false], [403, false], [405, false], [429, false], [500, false], [503, false]] as const) {
    server.answer((_request, response) => { response.writeHead(status, { 'content-length': '5' }).end() })
    t.equal(await isGone(`${server.url}/a.png?x=1`, long), gone, `${status}`)
  }
  t.same([...new Set(server.asked)], ['HEAD /a.png?x=1'])
  server.answer((_request, response) => { response.writeHead(302, { location: `${elsewhere.url}/b.png` }).end() })
  t.equal(await isGone(`${server.url}/a.png`, long), false)
  server.answer(request => { request.socket.destroy() })
  t.equal(await isGone(`${server.url}/a.png`, long), false)
  const hurried = new AbortController()
  server.answer(() => { hurried.abort() })
  t.equal(await isGone(`${server.url}/a.png`, hurried.signal), false, 'no answer in time')
  for (const address of [`${elsewhere.url}/a.png`, 'http://169.254.169.254/x', 'https://[::1]/x', 'data:image/png;base64,AA==', 'no address', '']) t.equal(await isGone(address, long), false, address)
  t.same(elsewhere.asked, [])
})
