// Keys and prompts stay inside: nothing that leaves the process, at the most talkative log level, holds them.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { CENTRAL_KEY, parseObject, STUDIO_KEY, tenant } from './support/gateway.ts'
import { cliFile } from './support/paths.ts'
import { pixel } from './support/pixel.ts'
import { answering, freePort, start } from './support/processes.ts'
import { startSandbox } from './support/sandbox.ts'
import { spanFile } from './support/spans.ts'

const PROMPT = 'a very private wish'

t.test('logs, errors, metrics, spans and documents hold no key and no prompt', async t => {
  const sandbox = await startSandbox(t, { keys: [CENTRAL_KEY] })
  const folder = mkdtempSync(join(tmpdir(), 'falgate-'))
  t.teardown(() => { rmSync(folder, { recursive: true }) })
  const tenantsFile = join(folder, 'tenants.json')
  writeFileSync(tenantsFile, JSON.stringify({ tenants: [tenant('studio')] }))
  const port = String(await freePort())
  const recorded = spanFile(t)
  const running = start(t, [...recorded.node, cliFile, 'serve'], { ...recorded.env, PORT: port, LOG_LEVEL: 'trace', FAL_KEY: CENTRAL_KEY, FAL_QUEUE_URL: `${sandbox.base}/queue`, TENANTS_FILE: tenantsFile })
  const base = `http://127.0.0.1:${port}`
  await answering(running, `${base}/readyz`)

  const said: string[] = []
  const call = async (body: string, key = STUDIO_KEY): Promise<number> => {
    const response = await fetch(`${base}/generate`, { method: 'POST', body, headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', cookie: 'session=very-secret' } })
    const text = await response.text()
    // A generation shows its own prompt to its own tenant; an answer of /generate does not.
    said.push(text, JSON.stringify([...response.headers]))
    return response.status
  }
  t.equal(await call(JSON.stringify({ prompt: PROMPT, seed: 1 })), 200)
  t.equal(await call(JSON.stringify({ prompt: PROMPT, seed: 1 })), 200)
  const form = new FormData()
  form.append('prompt', PROMPT)
  form.append('image', new Blob([pixel()]), `${PROMPT}.png`)
  const edited = await fetch(`${base}/v1/images/edits`, { method: 'POST', body: form, headers: { authorization: `Bearer ${STUDIO_KEY}`, cookie: 'session=very-secret' } })
  t.equal(edited.status, 400, 'the default model takes no pictures')
  said.push(await edited.text())
  // What an address holds is written nowhere: not a ticket before its use, not one that was used, not a key that has no place there.
  const studio = { authorization: `Bearer ${STUDIO_KEY}` }
  const id = (await fetch(`${base}/generate`, { method: 'POST', body: JSON.stringify({ prompt: PROMPT, seed: 1 }), headers: { ...studio, 'content-type': 'application/json' } })).headers.get('falgate-generation')
  const { events_url: events, ticket } = parseObject(await (await fetch(`${base}/generations/${id}/ticket`, { method: 'POST', headers: studio })).text())
  t.equal((await fetch(base + String(events))).status, 200)
  for (const path of [String(events), `/generations?key=${STUDIO_KEY}`]) said.push(await (await fetch(base + path)).text())
  t.equal(await call(JSON.stringify({ prompt: PROMPT, seed: '1' })), 422)
  t.equal(await call(`{"prompt":"${PROMPT}`), 400)
  t.equal(await call(JSON.stringify({ prompt: PROMPT }), 'fg_studio_wrong-secret'), 401)
  sandbox.faults.add({ kind: 'answer', operation: 'submit', error: 'unauthorized' })
  t.equal(await call(JSON.stringify({ prompt: PROMPT, seed: 2 })), 503)
  sandbox.faults.add({ kind: 'job', operation: 'submit', error: 'content_policy_violation' })
  for (const path of ['/metrics', '/openapi.json', '/readyz', '/docs/json', `/generations/${PROMPT}`]) said.push(await (await fetch(base + path)).text())

  running.child.kill('SIGTERM')
  const { code, stdout, stderr } = await running.ended
  t.equal(code, 0)
  t.match(stdout, /"prompt_sha256":"[0-9a-f]{64}","prompt_characters":19/)
  const named = new Set(recorded.spans().map(({ name }) => name))
  for (const part of ['admission', 'line', 'submit', 'run', 'result', 'settlement']) t.ok(named.has(`falgate.${part}`), `a span of ${part} was recorded`)
  for (const [where, text] of Object.entries({ stdout, stderr, spans: recorded.text(), answers: said.join('\n') })) {
    for (const secret of [PROMPT, CENTRAL_KEY, 'central-key-secret', 'secret-of-studio', 'wrong-secret', 'very-secret', String(ticket)]) t.notOk(text.includes(secret), `${where}: ${secret}`)
  }
})
