// Files of results are kept by the gateway and served with signed links: they outlive fal's addresses, and nobody is shown what the link does not name.

import { hash } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { key, startGateway, startWithOwnSandbox, STUDIO_KEY, type Gateway, type GatewayOptions } from '../support/gateway.ts'
import { until } from '../support/until.ts'

interface WithMedia extends Gateway { readonly folder: string }

async function gateway (t: Test, options: GatewayOptions = {}): Promise<WithMedia> {
  const folder = join(t.testdir({}), 'media')
  return { ...await startGateway(t, { ...options, env: { MEDIA_DIR: folder, ...options.env } }), folder }
}

/** The address of the first picture of an answer. */
function urlIn (output: unknown): string {
  const { images: [image] }: { readonly images: readonly { readonly url: string }[] } = Object(output)
  if (image === undefined) throw new Error('no picture')
  return image.url
}

async function fetched (url: string, init: RequestInit = {}): Promise<{ readonly status: number, readonly headers: Headers, readonly bytes: Buffer }> {
  const response = await fetch(url, init)
  return { status: response.status, headers: response.headers, bytes: Buffer.from(await response.arrayBuffer()) }
}

t.test('an answer has a link of the gateway in the place of the upstream\'s address, and everything else as it was', async t => {
  const { generate, get, url, sandbox } = await gateway(t)
  const reply = await generate({ prompt: 'x', seed: 1 })
  const link = urlIn(reply.json())
  t.match(link, new RegExp(`^${url}/media/[0-9a-f]{64}\\.png\\?e=\\d+&s=[\\w-]{22}$`))
  t.equal(reply.text.replace(link, ''), JSON.stringify({ images: [{ url: '', content_type: 'image/png', file_name: 'output.png' }], seed: 1 }))
  const { status, headers, bytes } = await fetched(link)
  t.equal(status, 200)
  t.equal(hash('sha256', bytes), /media\/([0-9a-f]{64})/.exec(link)?.[1])
  t.equal(headers.get('content-type'), 'image/png')
  t.equal(headers.get('x-content-type-options'), 'nosniff')
  t.match(headers.get('content-security-policy') ?? '', /default-src 'none'.*sandbox/)
  t.match(headers.get('cache-control') ?? '', /^public, max-age=\d+, immutable$/)
  t.match(headers.get('content-disposition') ?? '', /^inline; filename="[0-9a-f]{64}\.png"$/)

  const id = reply.headers.get('falgate-generation') ?? ''
  t.equal(urlIn((await get(`/generations/${id}`)).json()['output']), link, 'the generation')
  t.equal(urlIn(Object((await get('/generations')).json()['generations'])[0].output), link, 'the list')
  t.equal((await generate({ prompt: 'x', seed: 1 })).text, reply.text, 'a hit')
  t.ok((await get(`/generations/${id}/events`)).text.includes(link), 'the events')
  t.equal(sandbox.bill.submits, 1)
})

t.test('a stored file is served in parts, to who asks whether it has changed, and by its head', async t => {
  const { generate } = await gateway(t)
  const link = urlIn((await generate({ prompt: 'x', seed: 1 })).json())
  const whole = await fetched(link)
  const size = whole.bytes.length
  const etag = whole.headers.get('etag') ?? ''
  const parts: readonly (readonly [range: string, first: number, last: number])[] = [['bytes=0-9', 0, 9], ['bytes=10-', 10, size - 1], ['bytes=-5', size - 5, size - 1], [`bytes=5-${size + 100}`, 5, size - 1]]
  for (const [range, first, last] of parts) {
    const { status, headers, bytes } = await fetched(link, { headers: { range } })
    t.match({ status, range: headers.get('content-range') }, { status: 206, range: `bytes ${first}-${last}/${size}` }, range)
    t.ok(bytes.equals(whole.bytes.subarray(first, last + 1)))
  }
  t.match(await fetched(link, { headers: { range: `bytes=${size}-` } }), { status: 416 })
  for (const range of ['bytes=0-1,5-6', 'bytes=9-2', 'lines=1-2', 'bytes=a-b']) t.equal((await fetched(link, { headers: { range } })).bytes.length, size, `${range}: the whole file`)
  t.equal((await fetched(link, { headers: { range: 'bytes=0-9', 'if-range': '"another"' } })).bytes.length, size)
  t.equal((await fetched(link, { headers: { range: 'bytes=0-9', 'if-range': etag } })).bytes.length, 10)
  t.match(await fetched(link, { headers: { 'if-none-match': `"x", ${etag}` } }), { status: 304 })
  const head = await fetched(link, { method: 'HEAD' })
  t.match({ status: head.status, length: head.headers.get('content-length'), bytes: head.bytes.length }, { status: 200, length: String(size), bytes: 0 })
})

t.test('without a link that is in force nobody is shown a file, nor told whether there is one', async t => {
  const { generate, url } = await gateway(t)
  const link = new URL(urlIn((await generate({ prompt: 'x', seed: 1 })).json()))
  const [, name = ''] = /media\/(.*)$/.exec(link.pathname) ?? []
  const other = `${'0'.repeat(64)}.png`
  const bad = [
    `${link.pathname}`, `${link.pathname}?e=${link.searchParams.get('e')}`, `${link.pathname}?e=9999999999&s=${link.searchParams.get('s')}`, `${link.pathname}?e=x&s=y`, `${link.pathname}${link.search}A`,
    `/media/${other}${link.search}`, `/media/${name.replace('.png', '.html')}${link.search}`,
    '/media/link-key', '/media/..%2flink-key', '/media/incoming', `/media/link-key${link.search}`, `/media/..%2flink-key${link.search}`
  ]
  for (const path of bad) {
    const response = await fetch(url + path)
    t.match({ status: response.status, body: await response.json() }, { status: 403, body: { code: 'link-refused' } }, path)
  }
  t.equal((await fetch(`${url}/media/`)).status, 404)
})

t.test('a link that is over says how to get a fresh one, and a file that is gone says so', async t => {
  const folder = join(t.testdir({}), 'media')
  await mkdir(folder)
  await writeFile(join(folder, 'keys'), `${'k'.repeat(32)}\n${'o'.repeat(32)}\n`)
  const { generate, url } = await startGateway(t, { env: { MEDIA_DIR: folder, MEDIA_KEY_FILE: join(folder, 'keys') } })
  const link = new URL(urlIn((await generate({ prompt: 'x', seed: 1 })).json()))
  const name = link.pathname.slice('/media/'.length)
  const { createMediaLinks } = await import('../../src/media/links.ts')
  const signed = (signer: string, now: number): string => createMediaLinks({ keys: () => [signer], lastsMs: 3_600_000, now: () => now }).pathOf(name)
  const expired = await fetch(url + signed('k'.repeat(32), Date.now() - 3 * 3_600_000))
  t.match({ status: expired.status, body: await expired.json() }, { status: 403, body: { code: 'link-refused', detail: /has expired/ } })
  t.equal((await fetched(url + signed('o'.repeat(32), Date.now()))).status, 200, 'a key that signs no more is still believed')
  t.equal((await fetch(url + signed('x'.repeat(32), Date.now()))).status, 403)
  await rm(join(folder, name.slice(0, 2)), { recursive: true })
  const gone = await fetch(link)
  t.match({ status: gone.status, body: await gone.json() }, { status: 404, body: { code: 'no-such-file' } })
  t.equal((await fetch(link, { method: 'HEAD' })).status, 404)
})

t.test('a file that cannot be had in time keeps its address in the answer, and is stored as soon as it can be', async t => {
  const { generate, get, url, sandbox } = await gateway(t, { env: { MEDIA_WAIT_SECONDS: '0' } })
  const reply = await generate({ prompt: 'x', seed: 1 })
  t.match(urlIn(reply.json()), `${sandbox.base}/files/`)
  const id = reply.headers.get('falgate-generation') ?? ''
  const nowLinked = async (): Promise<boolean> => urlIn((await get(`/generations/${id}`)).json()['output']).startsWith(`${url}/media/`)
  await until(nowLinked)
  t.equal((await fetched(urlIn((await get(`/generations/${id}`)).json()['output']))).status, 200)
  t.match(urlIn((await generate({ prompt: 'x', seed: 1 })).json()), `${url}/media/`, 'what lay in memory was dropped when it changed')
  t.equal(sandbox.bill.submits, 1)
})

t.test('a picture is never lost for its file: one that the upstream does not have any more keeps its address', async t => {
  const { generate, sandbox, folder } = await gateway(t)
  sandbox.faults.add({ kind: 'odd', operation: 'file', answer: 'not_found', times: 'always' })
  const reply = await generate({ prompt: 'x', seed: 1 })
  t.equal(reply.status, 200)
  t.match(urlIn(reply.json()), `${sandbox.base}/files/`)
  t.same(readdirSync(join(folder, 'incoming')), [])
})

t.test('a disk without room costs nobody a picture', async t => {
  const { generate, sandbox, folder } = await gateway(t)
  // A file where the folder of the spool was: nothing can be written there.
  await rm(join(folder, 'incoming'), { recursive: true })
  await writeFile(join(folder, 'incoming'), '')
  const reply = await generate({ prompt: 'x', seed: 1 })
  t.equal(reply.status, 200)
  t.match(urlIn(reply.json()), `${sandbox.base}/files/`)
})

t.test('when kept files fill their room new pictures keep the upstream\'s addresses or stay inside their results, what is kept stays, and a metric tells', async t => {
  const { generate, get, sandbox, url } = await gateway(t, { env: { MEDIA_MAX_BYTES: '1048576' } })
  const faults = sandbox.faults
  faults.add({ kind: 'job', operation: 'submit', insideBytes: 900_000 })
  const kept = urlIn((await generate({ prompt: 'x', seed: 1 })).json())
  t.match(kept, `${url}/media/`)
  faults.add({ kind: 'job', operation: 'submit', insideBytes: 800_000 })
  const inside = await generate({ prompt: 'x', seed: 2 })
  t.equal(inside.status, 200)
  t.match(urlIn(inside.json()), /^data:image\//)
  t.ok(urlIn(inside.json()).length > 700_000, 'all of it')
  const elsewhere = await generate({ prompt: 'x', seed: 3 })
  t.match(urlIn(elsewhere.json()), `${sandbox.base}/files/`)
  t.equal((await fetched(kept)).status, 200)
  const told = (await get('/metrics')).text
  for (const line of ['falgate_media_files_total{outcome="full"} 1', 'falgate_media_stored_files 1', 'falgate_media_max_bytes 1048576', 'falgate_media_orphans 0']) t.match(told, line)
})

t.test('a picture inside the result becomes a file, and the result is short enough to be kept like others', async t => {
  const { generate, get, url, sandbox } = await gateway(t)
  sandbox.faults.add({ kind: 'job', operation: 'submit', insideBytes: 400_000 })
  const reply = await generate({ prompt: 'x', seed: 1 })
  t.equal(reply.status, 200)
  t.match(urlIn(reply.json()), `${url}/media/`)
  t.ok(reply.text.length < 2000)
  t.equal((await fetched(urlIn(reply.json()))).bytes.length > 250_000, true)
  t.match((await generate({ prompt: 'x', seed: 1 })).headers.get('cache-status') ?? '', /hit/)
  const id = reply.headers.get('falgate-generation') ?? ''
  t.match((await get(`/generations/${id}`)).json(), { output_bytes: null })
})

t.test('the gateway\'s own sandbox is kept, too, and fal\'s clients are given links like everybody', async t => {
  const app = await startWithOwnSandbox(t, { env: { MEDIA_DIR: join(t.testdir({}), 'media') } })
  const reply = await fetch(`${app.url}/fal/fal-ai/imagen4/preview/ultra`, { method: 'POST', headers: { authorization: 'Key fg_demo_sandbox', 'content-type': 'application/json' }, body: '{"prompt":"x","seed":3}' })
  const link = urlIn(await reply.json())
  t.match(link, `${app.url}/media/`)
  t.equal((await fetched(link)).status, 200)
})

t.test('a tenant reaches its files by links alone, and keys open none', async t => {
  const { generate, url } = await gateway(t)
  const link = new URL(urlIn((await generate({ prompt: 'x', seed: 1 })).json()))
  for (const secret of [STUDIO_KEY, key('press')]) t.equal((await fetch(url + link.pathname, { headers: { authorization: `Bearer ${secret}` } })).status, 403)
})

t.test('the page may show files that are kept here also where it was reached by another name than PUBLIC_URL', async t => {
  // With a key of fal no picture is drawn here.
  const { url } = await gateway(t, { env: { PUBLIC_URL: 'http://pictures.example:8080/base' } })
  const { headers } = await fetched(url, { headers: { accept: 'text/html' } })
  const policy = headers.get('content-security-policy') ?? ''
  for (const kind of ['img-src', 'media-src']) t.match(policy, new RegExp(`${kind} [^;]*http://pictures\\.example:8080(;| )`))
})

t.test('where no files are kept there is none of any name', async t => {
  const { url } = await startGateway(t)
  t.equal((await fetched(`${url}/media/x.png`)).status, 404)
})
