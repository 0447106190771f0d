// Files of results in a bucket of an S3 that others publish (moto, from PyPI), with a door on the way that can be shut; and in a folder whose disk is full.
// Needs Python 3 with `venv`, the way to PyPI, and for the full disk the right to mount (root on Linux).

import { createHash } from 'node:crypto'
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, statfsSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { AwsV4Signer } from 'aws4fetch'
import { freePort, startProgram } from '../support/processes.ts'
import { authorization, generate, serve, type Serving } from '../support/folder-gateway.ts'
import { runHere } from '../support/cli.ts'
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'
import { run, workFolder, writeLastRun } from '../support/world.ts'

const MOTO = '5.2.5'
const BUCKET = 'pictures'
const LONGEST_PATIENCE_MS = 120_000

t.setTimeout(1_200_000)

const folder = workFolder(t)
await run('python3', ['-m', 'venv', join(folder, 'venv')])
await run(join(folder, 'venv', 'bin', 'python'), ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', `moto[server,s3]==${MOTO}`])
const seen: string[] = []
const linkKeys = join(folder, 'link-keys')
writeFileSync(linkKeys, 'k'.repeat(64))

interface Keys { readonly accessKeyId: string, readonly secretAccessKey: string }

interface Cloud {
  /** Where the S3 is, and where the door to it is. */
  readonly url: string
  readonly door: TcpProxy
  /** Of somebody who may use the bucket, and of somebody who may not. */
  readonly keys: Keys
  readonly powerless: Keys
  /** Calls it, signed with keys or by nobody. */
  readonly call: (service: 's3' | 'iam', method: string, path: string, keys: Keys | null, body?: string) => Promise<{ readonly status: number, readonly text: string }>
  /** What is in the bucket. */
  readonly names: () => Promise<readonly string[]>
}

/** The cloud of one test: from the moment that it is set up it checks every signature and every right. */
async function cloud (t: Test): Promise<Cloud> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  startProgram(t, join(folder, 'venv', 'bin', 'moto_server'), ['-H', '127.0.0.1', '-p', String(port)], { HOME: folder, PATH: process.env['PATH'] ?? '' }, { timeoutMs: 600_000 })
  await until(async () => (await fetch(`${url}/moto-api/`).catch(() => null))?.status === 200, { what: 'moto answers', patienceMs: LONGEST_PATIENCE_MS })

  const call: Cloud['call'] = async (service, method, path, keys, body) => {
    const address = new URL(path, url)
    const headers: Record<string, string> = service === 'iam' ? { host: 'iam.amazonaws.com', 'content-type': 'application/x-www-form-urlencoded' } : {}
    const signed = keys === null
      ? { headers: new Headers(headers) }
      : await new AwsV4Signer({ method, url: address.href, headers, ...keys, service, region: 'us-east-1', ...(body === undefined ? {} : { body }) }).sign()
    const response = await fetch(address, { method, headers: signed.headers, ...(body === undefined ? {} : { body }) })
    return { status: response.status, text: await response.text() }
  }

  const anybody = { accessKeyId: 'x', secretAccessKey: 'y' }
  async function user (name: string, actions: readonly string[]): Promise<Keys> {
    await call('iam', 'POST', '/', anybody, `Action=CreateUser&UserName=${name}&Version=2010-05-08`)
    const { text } = await call('iam', 'POST', '/', anybody, `Action=CreateAccessKey&UserName=${name}&Version=2010-05-08`)
    const policy = JSON.stringify({ Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: actions, Resource: '*' }] })
    await call('iam', 'POST', '/', anybody, `Action=PutUserPolicy&UserName=${name}&PolicyName=p&PolicyDocument=${encodeURIComponent(policy)}&Version=2010-05-08`)
    const textIn = (element: string): string => new RegExp(`<${element}>([^<]+)<`).exec(text)?.[1] ?? ''
    return { accessKeyId: textIn('AccessKeyId'), secretAccessKey: textIn('SecretAccessKey') }
  }

  const keys = await user('gateway', ['s3:PutObject', 's3:GetObject', 's3:DeleteObject', 's3:ListBucket'])
  const powerless = await user('stranger', ['s3:ListAllMyBuckets'])
  await call('s3', 'PUT', `/${BUCKET}`, anybody)
  await fetch(`${url}/moto-api/reset-auth`, { method: 'POST', body: '0' })
  return {
    url,
    door: await startTcpProxy(t, port),
    keys,
    powerless,
    call,
    names: async () => [...(await call('s3', 'GET', `/${BUCKET}?list-type=2`, keys)).text.matchAll(/<Key>([^<]+)<\/Key>/g)].map(([, name = '']) => name)
  }
}

async function gateway (t: Test, { door }: Cloud, keys: Keys, env: Readonly<Record<string, string>> = {}): Promise<Serving> {
  return await serve(t, {
    MEDIA_URL: `s3://${BUCKET}/of/falgate?endpoint=http://127.0.0.1:${door.port}`,
    MEDIA_KEY_FILE: linkKeys,
    AWS_ACCESS_KEY_ID: keys.accessKeyId,
    AWS_SECRET_ACCESS_KEY: keys.secretAccessKey,
    ...env
  })
}

/** The first address in an output. */
function addressIn (output: unknown): string {
  return /"url":"([^"]+)"/.exec(JSON.stringify(output))?.[1] ?? ''
}

/** That of the newest generation, as it is told now. */
async function addressNow (url: string): Promise<string> {
  return addressIn(await (await fetch(`${url}/generations`, { headers: { authorization } })).json())
}

/** The link to the latest picture, once it is stored. */
async function untilLinked (url: string): Promise<string> {
  return await until(async () => {
    const now = await addressNow(url)
    return now.includes('/media/') ? now : null
  }, { what: 'the picture has a link', patienceMs: LONGEST_PATIENCE_MS })
}

async function bytesOf (link: string, headers: Readonly<Record<string, string>> = {}): Promise<{ readonly status: number, readonly bytes: Buffer, readonly range: string | null }> {
  const response = await fetch(link, { headers })
  return { status: response.status, bytes: Buffer.from(await response.arrayBuffer()), range: response.headers.get('content-range') }
}

await t.test('a picture is stored in the bucket, signed, and served in whole and in parts; the bucket shows it to nobody', async t => {
  const there = await cloud(t)
  const { url } = await gateway(t, there, there.keys)
  const { json } = await generate(url, { prompt: 'a fox', seed: 1 })
  const link = addressIn(json)
  const [, sha256 = ''] = /\/media\/([0-9a-f]{64})\.png\?/.exec(link) ?? []
  const whole = await bytesOf(link)
  t.equal(whole.status, 200)
  t.equal(createHash('sha256').update(whole.bytes).digest('hex'), sha256)
  const key = `of/falgate/${sha256}.png`
  t.same((await there.names()).toSorted(), [key, 'of/falgate/falgate-check'].toSorted())

  const size = whole.bytes.length
  const part = await bytesOf(link, { range: 'bytes=10-19' })
  t.match(part, { status: 206, range: `bytes 10-19/${size}` })
  t.ok(part.bytes.equals(whole.bytes.subarray(10, 20)))
  t.ok((await bytesOf(link, { range: 'bytes=-7' })).bytes.equals(whole.bytes.subarray(-7)))
  t.equal((await bytesOf(link, { range: `bytes=${size}-` })).status, 416)
  const head = await fetch(link, { method: 'HEAD' })
  t.match({ status: head.status, length: head.headers.get('content-length') }, { status: 200, length: String(size) })

  t.equal((await there.call('s3', 'GET', `/${BUCKET}/${key}`, null)).status, 403, 'without keys')
  t.equal((await there.call('s3', 'GET', `/${BUCKET}/${key}`, there.powerless)).status, 403, 'with keys that may not')
  t.equal((await bytesOf(link.replace(/s=.{4}/, 's=AAAA'))).status, 403, 'with a link that nobody signed')

  await there.call('s3', 'DELETE', `/${BUCKET}/${key}`, there.keys)
  t.equal((await bytesOf(link)).status, 404, 'what somebody took out is gone')
  seen.push('stores with a payload that is signed, serves with `Range`, is never shown')
})

await t.test('while the bucket is away pictures have the upstream\'s addresses, and later its links; who reads then is told to come again', async t => {
  const there = await cloud(t)
  const { url, ops } = await gateway(t, there, there.keys, { MEDIA_WAIT_SECONDS: '2' })
  const stored = addressIn((await generate(url, { prompt: 'a fox', seed: 1 })).json)
  there.door.setOpen(false)
  const { status, json } = await generate(url, { prompt: 'a fox', seed: 2 })
  t.equal(status, 200)
  t.match(addressIn(json), /\/sandbox\/files\//)
  t.equal((await bytesOf(addressIn(json))).status, 200)
  const away = await fetch(stored)
  t.match({ status: away.status, retry: away.headers.get('retry-after'), body: await away.json() }, { status: 503, retry: '5', body: { code: 'media-unavailable' } })
  t.equal((await fetch(`${ops}/readyz`)).status, 200, 'nothing waits for it')
  there.door.setOpen(true)
  t.equal((await bytesOf(await untilLinked(url))).status, 200)
  t.equal((await there.names()).filter(name => name.endsWith('.png')).length, 2)
  seen.push('away and back: late files are stored')
})

await t.test('files are looked at, removed and taken out in the bucket, beside the gateway', async t => {
  const there = await cloud(t)
  const env = { DATA_DIR: join(folder, 'ledger'), MEDIA_URL: `s3://${BUCKET}/of/falgate?endpoint=http://127.0.0.1:${there.door.port}`, MEDIA_KEY_FILE: linkKeys, AWS_ACCESS_KEY_ID: there.keys.accessKeyId, AWS_SECRET_ACCESS_KEY: there.keys.secretAccessKey }
  const { url } = await serve(t, env)
  const links = [addressIn((await generate(url, { prompt: 'a fox', seed: 1 })).json), addressIn((await generate(url, { prompt: 'a hare', seed: 2 })).json)]
  const names = links.map(link => /[0-9a-f]{64}\.png/.exec(link)?.[0] ?? '')
  t.match((await runHere(['media', 'ls'], env)).stdout, /\n2 files, .* in all; 0 of them nothing refers to/)
  await there.call('s3', 'PUT', `/${BUCKET}/of/falgate/${'a'.repeat(64)}.png`, there.keys, 'a stray')
  await there.call('s3', 'DELETE', `/${BUCKET}/of/falgate/${names[1] ?? ''}`, there.keys)
  t.same(await runHere(['media', 'gc', '--strays'], env), { code: 0, stdout: `1 files are not there that generations refer to: their links lead nowhere:\n  ${names[1] ?? ''}\n0 files that nothing refers to are removed (0 bytes)\n`, stderr: '' }, 'a stray of today stays')
  t.match(await runHere(['media', 'rm', names[0] ?? ''], env), { code: 0 })
  t.equal((await fetch(links[0] ?? '')).status, 404)
  t.same((await there.names()).filter(name => name.endsWith('.png')), [`of/falgate/${'a'.repeat(64)}.png`])
  there.door.setOpen(false)
  t.match(await runHere(['media', 'rm', names[1] ?? ''], env), { code: 1, stdout: /^1 of 1 files could not be removed \(.*\): run the command again; a gateway tries, too, in an hour\n$/ })
  seen.push('files are listed and taken out')
})

await t.test('an upload that is cut is made again, and one whose answer is lost is stored once', async t => {
  const there = await cloud(t)
  const { url } = await gateway(t, there, there.keys, { MEDIA_WAIT_SECONDS: '5' })
  for (const [seed, cut] of [[1, there.door.cutBehind], [2, there.door.loseAnswerTo]] as const) {
    const isCut = cut(/PUT \/pictures\/of\/falgate\/[0-9a-f]{64}/)
    const { status } = await generate(url, { prompt: 'a fox', seed })
    t.equal(status, 200)
    await isCut
    t.equal((await bytesOf(await untilLinked(url))).status, 200)
  }
  t.equal((await there.names()).filter(name => name.endsWith('.png')).length, 2)
  seen.push('uploads that are cut are made again')
})

await t.test('a start with keys that the bucket does not take, or that may not, says so and ends; with a bucket that is away it goes on', async t => {
  const there = await cloud(t)
  const wrong = { accessKeyId: there.keys.accessKeyId, secretAccessKey: 'w'.repeat(40) }
  const nobody = { accessKeyId: 'AKIANOBODY', secretAccessKey: 'w'.repeat(40) }
  const told = async (keys: Keys): Promise<string> => await gateway(t, there, keys).then(() => 'it started', (error: unknown) => String(error))
  t.match(await told(wrong), /ended with 1: falgate: MEDIA_URL: s3:\/\/pictures\/of\/falgate at http:\S+ does not take these keys \(SignatureDoesNotMatch\)/)
  t.match(await told(nobody), /does not take these keys \(InvalidAccessKeyId\)/)
  t.match(await told(there.powerless), /refuses to store and to give out files \(AccessDenied\): allow these keys s3:PutObject/)
  there.door.setOpen(false)
  const { url } = await gateway(t, there, there.keys, { MEDIA_WAIT_SECONDS: '0' })
  t.equal((await generate(url, { prompt: 'a fox', seed: 1 })).status, 200)
  there.door.setOpen(true)
  await until(async () => (await addressNow(url)).includes('/media/'), { what: 'the picture has a link', patienceMs: LONGEST_PATIENCE_MS })
  seen.push('wrong keys and missing rights are told at the start')
})

await t.test('on a full disk pictures have the upstream\'s addresses, nothing is left in the spool, and once there is room they are stored', async t => {
  const disk = join(folder, 'disk')
  mkdirSync(disk)
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m,mode=700', 'tmpfs', disk])
  t.teardown(() => { execFileSync('umount', ['--lazy', disk]) })
  const { url, ops } = await serve(t, { MEDIA_DIR: join(disk, 'media'), MEDIA_WAIT_SECONDS: '5' })
  const filler = join(disk, 'filler')
  const { bavail, bsize } = statfsSync(disk)
  writeFileSync(filler, Buffer.alloc(bavail * bsize))
  const { status, json } = await generate(url, { prompt: 'a fox', seed: 1 })
  t.equal(status, 200)
  t.match(addressIn(json), /\/sandbox\/files\//)
  t.match(await (await fetch(`${ops}/metrics`)).text(), /falgate_media_files_total\{outcome="failed"\} [1-9]/)
  t.equal(statfsSync(disk).bavail, 0, 'it is full')
  t.same(readdirSync(join(disk, 'media', 'incoming')), [])
  await rm(filler)
  t.equal((await bytesOf(await untilLinked(url))).status, 200)
  seen.push('a full disk loses nothing')
})

writeLastRun('media', [['`moto` as S3, with every signature and right checked', MOTO, seen.join('; ')]])
