// `falgate doctor` and `check` of the place where files of results are kept: whether it is one, and what to do.

import { readdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { runHere } from '../support/cli.ts'
import { parseObject } from '../support/gateway.ts'
import { isObject } from '../../src/schema.ts'

/** Exit code, and what is found of that place. */
async function ask (env: Readonly<Record<string, string>>): Promise<{ readonly code: number, readonly findings: readonly unknown[] }> {
  const { code, stdout } = await runHere(['doctor', '--json'], env)
  const { findings } = parseObject(stdout)
  if (!Array.isArray(findings)) throw new Error(stdout)
  return { code, findings: findings.filter((finding: unknown) => isObject(finding) && finding['check'] === 'media') }
}

t.test('a folder is looked at and not made', async t => {
  const dir = t.testdir({ file: '' })
  t.match(await ask({}), { code: 0, findings: [] }, 'nothing is kept')
  const env = { MEDIA_DIR: join(dir, 'media') }
  t.match(await ask(env), { code: 0, findings: [{ verdict: /ok|warning/, sentence: /media, which the first start makes; .* are left on its disk/, measured: { free_bytes: Number } }] })
  t.match(await runHere(['check'], env), { code: 0, stdout: /the configuration is sound\n$/ })
  t.same(await readdir(dir), ['file'])
  const bad = { MEDIA_DIR: join(dir, 'file') }
  t.match(await ask(bad), { code: 1, findings: [{ verdict: 'fault', sentence: /^MEDIA_DIR: files cannot be kept in \S+file \(ENOTDIR\): make it a folder/ }] })
  t.match(await runHere(['check'], bad), { code: 1, stdout: '', stderr: /^falgate: MEDIA_DIR: files cannot be kept in/ })
  t.match(await runHere(['serve'], { ...bad, PORT: '0' }), { code: 1, stderr: /MEDIA_DIR: files cannot be kept in/ })
})

/** An S3 that answers everything so. */
async function bucket (t: Test, status: number, code: string): Promise<Readonly<Record<string, string>>> {
  const server = createServer((request, response) => { request.resume().on('end', () => { response.writeHead(status, { 'x-amz-bucket-region': 'elsewhere' }).end(`<Error><Code>${code}</Code><Message>secret</Message></Error>`) }) })
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.close() })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('it listens on no port')
  const keys = join(t.testdir({}), 'links')
  await writeFile(keys, 'k'.repeat(64))
  return { MEDIA_URL: `s3://pictures/of?endpoint=http://127.0.0.1:${address.port}&region=${status === 301 ? 'here' : 'elsewhere'}`, MEDIA_KEY_FILE: keys, AWS_ACCESS_KEY_ID: 'AKIA', AWS_SECRET_ACCESS_KEY: 'hidden-secret' }
}

const refusals: readonly (readonly [status: number, code: string, verdict: string, sentence: RegExp])[] = [
  [403, 'SignatureDoesNotMatch', 'fault', /does not take these keys \(SignatureDoesNotMatch\): look at AWS_ACCESS_KEY_ID/],
  [403, 'AccessDenied', 'fault', /refuses to store and to give out files \(AccessDenied\): allow these keys s3:PutObject/],
  [404, 'NoSuchBucket', 'fault', /is not there \(NoSuchBucket\): make the bucket/],
  [301, 'PermanentRedirect', 'fault', /is in another region: add region=elsewhere to the address/],
  [503, 'SlowDown', 'warning', /answers 503 \(SlowDown\), and files keep fal's addresses meanwhile/]
]

for (const [status, code, verdict, sentence] of refusals) {
  t.test(`a bucket that answers ${status} ${code} is a ${verdict}, in words that say what to do`, async t => {
    const env = await bucket(t, status, code)
    const found = await ask(env)
    t.match(found, { code: verdict === 'fault' ? 1 : 0, findings: [{ verdict, sentence }] })
    t.notMatch(JSON.stringify(found), /secret|AKIA/)
    const checked = await runHere(['check'], env)
    t.match(checked, verdict === 'fault' ? { code: 1, stderr: sentence } : { code: 0, stdout: sentence })
  })
}

t.test('a bucket that nobody answers for, and keys that are not there, are told', async t => {
  const env = await bucket(t, 200, '')
  t.match(await ask({ ...env, MEDIA_URL: 's3://pictures?endpoint=http://127.0.0.1:1' }), { code: 0, findings: [{ verdict: 'warning', sentence: /is not reached \(ECONNREFUSED\); files keep fal's addresses until it is/ }] })
  const without = { ...env, AWS_SECRET_ACCESS_KEY: '' }
  t.match(await runHere(['check'], without), { code: 1, stderr: /MEDIA_CREDENTIALS_FILE: not set; with MEDIA_URL name a file with the keys to the bucket/ })
  const file = join(dirname(String(env['MEDIA_KEY_FILE'])), 'keys')
  t.match(await runHere(['check'], { ...without, MEDIA_CREDENTIALS_FILE: file }), { code: 1, stderr: /MEDIA_CREDENTIALS_FILE: the file cannot be read \(ENOENT\)/ })
  await writeFile(file, '[default]\naws_access_key_id = AKIA\n')
  t.match(await runHere(['check'], { ...without, MEDIA_CREDENTIALS_FILE: file }), { code: 1, stderr: /MEDIA_CREDENTIALS_FILE: the file has to hold the lines/ })
  await writeFile(file, '[default]\naws_access_key_id = AKIA\naws_secret_access_key = hidden\n')
  t.match(await runHere(['check'], { ...without, MEDIA_CREDENTIALS_FILE: file }), { code: 0 })
})
