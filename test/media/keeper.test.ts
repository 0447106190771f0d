// Files are fetched once, checked, and kept under what is in them, whatever a CDN does; and nothing is fetched from where nothing may be.

import { createHash, randomBytes } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Expectation } from '../../src/generation/kept-files.ts'
import type { Kept } from '../../src/generation/media.ts'
import { createAddressRule } from '../../src/media/address-rule.ts'
import { createFolderStore } from '../../src/media/folder-store.ts'
import { createKeeper, type KeeperDeps } from '../../src/media/keeper.ts'
import { lookUpPublic } from '../../src/public-address.ts'
import { createConnector } from '../../src/upstream/way.ts'
import { startFileServer, type Answerer, type FileServer } from '../support/file-server.ts'
import { until } from '../support/until.ts'

/** A picture of about as many bytes as readers take it for one: `before` of them stand in front of its pixels, as what tells its origin does. */
function picture (bytes: number, before = 0): Buffer {
  const chunk = (kind: string, data: Buffer): Buffer => {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(data.length)
    return Buffer.concat([length, Buffer.from(kind), data, Buffer.alloc(4)])
  }
  const header = Buffer.from('00000001000000010806000000', 'hex')
  return Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), chunk('IHDR', header), ...before === 0 ? [] : [chunk('caBX', randomBytes(before))], chunk('IDAT', randomBytes(bytes)), chunk('IEND', Buffer.alloc(0))])
}

interface Setting {
  readonly server: FileServer
  readonly keep: (address: string, signal?: AbortSignal) => Promise<Kept>
  /** What was told of each file. */
  readonly told: string[]
  /** The bytes of a stored file. */
  readonly stored: (name: string) => Promise<Buffer>
  /** What lies in the spool. */
  readonly spool: () => string[]
  /** How many bytes of it there are. */
  readonly spooledBytes: () => Promise<number>
}

async function setting (t: Test, answerer?: Answerer, expect: KeeperDeps['expect'] = async () => 'expected'): Promise<Setting> {
  const server = await startFileServer(t)
  if (answerer !== undefined) server.answer(answerer)
  const folder = t.testdir({})
  const store = await createFolderStore(folder)
  const told: string[] = []
  const keeper = createKeeper({
    store,
    allowed: createAddressRule({ hosts: ['pictures.example', 'localhost'], ownOrigins: () => [server.url] }),
    connect: { public: createConnector({ proxy: null, timeoutMs: 5000, lookup: lookUpPublic }), ours: createConnector({ proxy: null, timeoutMs: 5000 }) },
    maxBytes: 1_000_000,
    expect,
    onFile: (outcome, why) => { told.push(why === null ? outcome : `${outcome} ${why}`) }
  })
  t.teardown(async () => { await keeper.close() })
  return {
    server,
    keep: async (address, signal = new AbortController().signal) => await keeper.keep(address, signal),
    told,
    stored: async name => await readFile(join(folder, name.slice(0, 2), name)),
    spool: () => readdirSync(store.spoolFolder),
    spooledBytes: async () => (await Promise.all(readdirSync(store.spoolFolder).map(async name => (await stat(join(store.spoolFolder, name))).size))).reduce((sum, bytes) => sum + bytes, 0)
  }
}

function sha256Of (bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

t.test('a file is kept under its bytes and its kind, and the same bytes are kept once', async t => {
  const bytes = picture(300_000)
  const { server, keep, told, stored, spool } = await setting(t, (_request, response) => { response.writeHead(200, { 'content-type': 'image/jpeg', 'content-length': bytes.length }).end(bytes) })
  const first = await keep(`${server.url}/files/a.jpg`)
  t.same(first, { kind: 'kept', file: `${sha256Of(bytes)}.png` }, 'what it is, and not what it is said to be')
  t.same(await keep(`${server.url}/files/b.jpg`), first)
  t.ok((await stored(`${sha256Of(bytes)}.png`)).equals(bytes))
  t.same(told, ['stored', 'stored'])
  t.same(spool(), [])
})

t.test('a picture with much about its origin in front of its pixels is a picture', async t => {
  const bytes = picture(1000, 300_000)
  const { server, keep } = await setting(t, (_request, response) => { response.writeHead(200, { 'content-type': 'application/octet-stream' }).end(bytes) })
  t.same(await keep(`${server.url}/a`), { kind: 'kept', file: `${sha256Of(bytes)}.png` })
})

t.test('a page that is said to be a picture is kept as what nobody opens', async t => {
  const { server, keep } = await setting(t, (_request, response) => { response.writeHead(200, { 'content-type': 'image/png' }).end('<html><script>alert(1)</script></html>') })
  t.match(await keep(`${server.url}/a.png`), { kind: 'kept', file: /\.bin$/ })
})

t.test('a connection that is cut is gone on with where it stood, when the server says that the file is the same', async t => {
  const bytes = picture(200_000)
  const { server, keep, stored, spooledBytes } = await setting(t, ({ headers }, response) => {
    const from = Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? 0)
    const head = { etag: '"one"', 'content-type': 'image/png', 'content-length': bytes.length - from }
    if (from > 0) {
      t.equal(headers['if-range'], '"one"')
      response.writeHead(206, { ...head, 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` }).end(bytes.subarray(from))
    } else {
      response.writeHead(200, head)
      response.write(bytes.subarray(0, 90_000))
      // What arrived and was not written down yet is fetched once more.
      until(async () => await spooledBytes() === 90_000).then(() => response.socket?.end())
    }
  })
  const kept = await keep(`${server.url}/a`)
  t.same(kept, { kind: 'kept', file: `${sha256Of(bytes)}.png` })
  t.ok((await stored(`${sha256Of(bytes)}.png`)).equals(bytes))
  t.same(server.asked, ['GET /a', 'GET /a bytes=90000-'])
})

t.test('without a strong validator, and when the file has changed meanwhile, it is begun again', async t => {
  for (const etag of ['W/"weak"', undefined, '"first"']) {
    const [bytes, other] = [picture(150_000), picture(150_000)]
    let requests = 0
    const { server, keep, stored } = await setting(t, (_request, response) => {
      requests += 1
      const head = { ...etag === undefined ? {} : { etag }, 'content-length': bytes.length }
      response.writeHead(200, head)
      if (requests > 1) response.end(other)
      else response.write(bytes.subarray(0, 80_000), () => { response.socket?.end() })
    })
    t.same(await keep(`${server.url}/a`), { kind: 'kept', file: `${sha256Of(other)}.png` })
    t.ok((await stored(`${sha256Of(other)}.png`)).equals(other))
  }
})

const troubles: readonly (readonly [says: string, answerer: Answerer, kind: Kept['kind'], told: string])[] = [
  ['that lies about its length: less than it says', (_request, response) => { response.writeHead(200, { 'content-length': 5000 }).write('x'); response.socket?.end() }, 'later', 'failed'],
  ['that is always cut', (_request, response) => { response.writeHead(200, { etag: '"one"', 'content-length': 5000 }); response.write('x', () => { response.destroy() }) }, 'later', 'failed'],
  ['that says beforehand that it is too long', (_request, response) => { response.writeHead(200, { 'content-length': 2_000_000 }).end(picture(2_000_000)) }, 'never', 'refused too-long'],
  ['that is too long without saying so', (_request, response) => { response.writeHead(200); for (let n = 0; n < 20; n++) response.write(Buffer.alloc(100_000)); response.end() }, 'never', 'refused too-long'],
  ['that is gone', (_request, response) => { response.writeHead(410).end('gone') }, 'never', 'gone http-410'],
  ['that is not to be had now', (_request, response) => { response.writeHead(503).end('later') }, 'later', 'failed http-503'],
  ['that is empty', (_request, response) => { response.writeHead(200).end() }, 'later', 'failed empty'],
  ['that is packed', (_request, response) => { response.writeHead(200, { 'content-encoding': 'gzip' }).end('packed') }, 'later', 'failed encoded'],
  ['that leads to the machine\'s own secrets', (_request, response) => { response.writeHead(302, { location: 'http://169.254.169.254/latest/meta-data/' }).end() }, 'never', 'refused address'],
  ['that leads to a private address over TLS', (_request, response) => { response.writeHead(307, { location: 'https://10.0.0.1/a.png' }).end() }, 'never', 'refused address'],
  ['that leads in a circle', (request, response) => { response.writeHead(302, { location: `${request.url ?? ''}x` }).end() }, 'later', 'failed redirects'],
  ['that leads nowhere', (_request, response) => { response.writeHead(302).end() }, 'later', 'failed redirects']
]

for (const [says, answerer, kind, expected] of troubles) {
  t.test(`a file ${says} is not kept, and leaves nothing behind`, async t => {
    const { server, keep, told, spool } = await setting(t, answerer)
    t.equal((await keep(`${server.url}/files/a.png`)).kind, kind)
    t.equal(told.length, 1)
    t.match(told[0], expected)
    t.same(spool(), [])
  })
}

t.test('a redirect within what is allowed is followed', async t => {
  const bytes = picture(1000)
  const { server, keep } = await setting(t, (request, response) => {
    if (request.url === '/a') response.writeHead(302, { location: '/b' }).end()
    else response.writeHead(200).end(bytes)
  })
  t.equal((await keep(`${server.url}/a`)).kind, 'kept')
})

t.test('what lies with others, and what no address is, is left where it is and asked of nobody', async t => {
  const { server, keep, told } = await setting(t)
  const addresses = [
    'https://example.com/a.png', 'http://v3.fal.media/files/a.png', 'https://v3.fal.media:8443/a.png', 'https://user:secret@v3.fal.media/a.png', 'https://fal.media.example/a.png',
    'https://[::1]/a.png', 'https://127.0.0.1/a.png', 'ftp://v3.fal.media/a.png', 'file:///etc/passwd', 'a.png', ''
  ]
  for (const address of addresses) t.same(await keep(address), { kind: 'never' }, address)
  t.same(server.asked, [])
  t.same(told, [])
})

t.test('a host that is allowed by its name and leads to this machine is not spoken to', async t => {
  const { server, keep, told } = await setting(t)
  t.same(await keep('https://localhost/files/a.png'), { kind: 'never' })
  t.same(told, ['refused address'])
  t.same(server.asked, [])
})

t.test('when its time is over a file is left for later, also while it waits for its turn', async t => {
  const { server, keep, told, spool } = await setting(t, () => {})
  const over = new AbortController()
  const warnings: string[] = []
  const hear = ({ name }: Error): void => { warnings.push(name) }
  process.on('warning', hear)
  t.teardown(() => { process.off('warning', hear) })
  const waiting = Array.from({ length: 20 }, async (_, n) => await keep(`${server.url}/${n}`, over.signal))
  while (server.asked.length < 16) await new Promise(resolve => { setImmediate(resolve) })
  over.abort()
  t.same(new Set((await Promise.all(waiting)).map(({ kind }) => kind)), new Set(['later']))
  t.equal(server.asked.length, 16)
  t.same(new Set(told), new Set(['failed deadline']))
  t.same(spool(), [])
  t.same(warnings, [], 'Node sees no leak')
})

t.test('a file inside the output is kept like others', async t => {
  const { keep, stored } = await setting(t)
  const bytes = picture(5000)
  t.same(await keep(`data:image/png;base64,${bytes.toString('base64')}`), { kind: 'kept', file: `${sha256Of(bytes)}.png` })
  t.ok((await stored(`${sha256Of(bytes)}.png`)).equals(bytes))
  t.match(await keep('data:image/svg+xml,%3Csvg%20xmlns=%22http://www.w3.org/2000/svg%22/%3E'), { kind: 'kept', file: /\.svg$/ })
  t.same(await keep('data:image/png;base64,'), { kind: 'never' })
  t.same(await keep('data:nonsense'), { kind: 'never' })
})

t.test('a file is announced by its name and length before it is stored, and stays where it is when the ledger cannot be told', async t => {
  const bytes = picture(1000)
  const announced: unknown[] = []
  let isAway = false
  const { server, keep, stored, told } = await setting(t, (_request, response) => { response.writeHead(200).end(bytes) }, async (name, length) => {
    if (isAway) throw new Error('away')
    announced.push([name, length, await stored(name).then(() => 'stored', () => 'not there yet')])
    return 'expected'
  })
  const name = `${sha256Of(bytes)}.png`
  t.same(await keep(`${server.url}/a`), { kind: 'kept', file: name })
  t.same(announced, [[name, bytes.length, 'not there yet']])
  isAway = true
  t.same(await keep(`${server.url}/a`), { kind: 'later' })
  t.same(told, ['stored', 'failed store'])
})

t.test('one that is being removed or that an operator took out is not stored, and without room nothing is fetched for a while', async t => {
  const bytes = picture(1000)
  let expectation: Expectation = 'busy'
  const { server, keep, stored, told } = await setting(t, (_request, response) => { response.writeHead(200).end(bytes) }, async () => expectation)
  t.same(await keep(`${server.url}/a`), { kind: 'later' })
  expectation = 'withdrawn'
  t.same(await keep(`${server.url}/a`), { kind: 'never' })
  expectation = 'full'
  t.same(await keep(`${server.url}/a`), { kind: 'later' })
  const asked = server.asked.length
  t.same(await keep(`${server.url}/a`), { kind: 'later' })
  t.equal(server.asked.length, asked)
  t.same(told, ['refused withdrawn', 'full MEDIA_MAX_BYTES'])
  await t.rejects(stored(`${sha256Of(bytes)}.png`))
})

t.test('a disk that does not answer holds nobody up longer than the signal says', async t => {
  const server = await startFileServer(t)
  server.answer((_request, response) => { response.writeHead(200).end(picture(1000)) })
  const store = await createFolderStore(t.testdir({}))
  const aborted = new AbortController()
  const keeper = createKeeper({
    store: { ...store, put: async () => { aborted.abort(); return await new Promise(() => {}) } },
    allowed: createAddressRule({ hosts: [], ownOrigins: () => [server.url] }),
    connect: { public: createConnector({ proxy: null, timeoutMs: 5000 }), ours: createConnector({ proxy: null, timeoutMs: 5000 }) },
    maxBytes: 1_000_000,
    expect: async () => 'expected',
    onFile: () => {}
  })
  t.teardown(async () => { await keeper.close() })
  t.same(await keeper.keep(`${server.url}/a`, aborted.signal), { kind: 'later' })
})
