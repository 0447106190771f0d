// Operators' commands on a ledger in a folder: counted again and looked at, beside the gateway that has it and without one.

import { appendFile, chown, readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { encodeFrame, readFrames } from '../../src/store/disk/log/frames.ts'
import { realFiles } from '../../src/store/disk/log/port.ts'
import { entryRecord, readRecord } from '../../src/store/disk/records.ts'
import { runHere } from '../support/cli.ts'
import { generate, serve } from '../support/folder-gateway.ts'
import { parseObject } from '../support/gateway.ts'
import { cliFile } from '../support/paths.ts'
import { runCli } from '../support/processes.ts'
import { startTerminal } from '../support/terminal.ts'
import { until } from '../support/until.ts'

t.setTimeout(300_000)

/** Writes a batch behind the last one: that of each account so much more is held, and this one has spent so much more. */
async function spoilBooks (folder: string, more: { readonly held: number, readonly spent: number }): Promise<number> {
  const file = join(folder, '000001.log')
  const books = new Map<string, Readonly<Record<string, string>>>()
  let batch = 0
  const opened = await realFiles.open(file, 'r')
  const figures: string[] = []
  await readFrames(opened, 0, (await opened.stat()).size, frame => {
    batch = frame.number
    for (const record of frame.kind === 'batch' ? frame.records() : []) {
      if (record.startsWith('["",')) figures.splice(0, 1, record)
      if (!record.startsWith('["books",')) continue
      const said = readRecord(record, [])
      if (said.kind === 'entry' && said.image !== null) books.set(said.key, said.image)
    }
    return undefined
  })
  await opened.close()
  const spoiled = [...books].map(([key, image]) => entryRecord('books', key, { ...image, held: String(Number(image['held'] ?? 0) + more.held), spent: String(Number(image['spent'] ?? 0) + more.spent) }))
  await appendFile(file, encodeFrame('batch', batch + 1, [...spoiled, ...figures]).bytes)
  return spoiled.length
}

t.test('recount tells what does not follow from the generations, mends with --write what lasts, and never changes what was spent; its exit code says whether something is left', async t => {
  const env = { DATA_DIR: join(t.testdir(), 'data') }
  const first = await serve(t, env)
  t.equal((await generate(first.url, { prompt: 'a counted fox' })).status, 200)
  t.same(await runHere(['ledger', 'recount'], env), { code: 0, stdout: '1 generations are counted: every counter and index is right\n', stderr: '' }, 'beside its gateway')
  first.running.child.kill('SIGKILL')
  await first.running.ended

  const count = await spoilBooks(env.DATA_DIR, { held: 70_000, spent: 0 })
  const summary = `${count} differences in 1 generations`
  const dry = await runHere(['ledger', 'recount'], env)
  t.match(dry, { code: 1, stdout: /^demo:\S+: \$0\.07 are held, open generations are worth \$0$/m, stderr: '' })
  t.match(dry.stdout, `${summary}; nothing is changed, falgate ledger recount --write mends them\n`)
  const { running } = await serve(t, env)
  t.same(await runHere(['ledger', 'recount'], env), dry, 'the same beside its gateway')
  t.match(await runHere(['ledger', 'recount', '--write'], env), { code: 0, stdout: `${summary}, ${count} mended\n` })
  t.match(await runHere(['ledger', 'recount'], env), { code: 0, stdout: /is right/ })
  running.child.kill('SIGKILL')
  await running.ended
  t.match(await runHere(['ledger', 'recount'], env), { code: 0, stdout: /is right/ }, 'it was on disk when it was told')

  await spoilBooks(env.DATA_DIR, { held: 0, spent: 60_000 })
  const left = await runHere(['ledger', 'recount', '--write'], env)
  t.match(left, { code: 1, stdout: /\$0\.12 are spent or open, the journal explains \$0\.06\n/, stderr: '' })
  t.match(left.stdout, /, 0 mended\nwhat was spent is never changed/)
})

t.test('top shows what a ledger in a folder knows, beside its gateway and without one, in a terminal and once', async t => {
  const env = { DATA_DIR: join(t.testdir(), 'data') }
  t.match(await runHere(['top', '--once'], env), { code: 1, stdout: '', stderr: /^falgate: DATA_DIR: there is no ledger in / })
  const { running, url } = await serve(t, { ...env, FAL_CONCURRENCY: '3' })
  t.equal((await generate(url, { prompt: 'a very private wish' })).status, 200)
  const beside = await runHere(['top', '--once', '--json'], { ...env, FAL_CONCURRENCY: '3' })
  t.match(beside, { code: 0, stderr: '' })
  const told = parseObject(beside.stdout)
  t.match(told, {
    waiting: 0,
    slots: { used: 0, open: 3, total: 3 },
    accounts: [{ account: 'main', used: 0, open: 3, total: 3 }],
    state: 'ok',
    company: { spent_usd: 0.06, held_usd: 0 },
    tenants: [{ tenant: 'demo', running: 0, waiting: 0, spent_usd: 0.06, budget_usd: 1000 }],
    replicas: [{ following: 0 }],
    notes: []
  })
  t.notMatch(beside.stdout, 'private')
  t.match(await runHere(['top', '--once', '--json', '--tenant', 'other'], env), { code: 0, stdout: /"tenants":\[\{"tenant":"other",/ })
  t.match(parseObject((await runHere(['top', '--once', '--json'], { ...env, FAL_KEY: 'a:b' })).stdout), { notes: [/TENANTS_FILE/, /another account/] })

  const terminal = startTerminal(t, ['/usr/bin/env', '-u', 'NODE_OPTIONS', process.execPath, cliFile, 'top', '--interval', '0.5'], env)
  await until(() => terminal.screen().startsWith('Ledger /') && / s ago /.test(terminal.screen()))
  running.child.kill('SIGTERM')
  t.match(await running.ended, { code: 0 })
  await until(() => /No replica has a heartbeat/.test(terminal.screen()))
  const sockets = async (): Promise<readonly string[]> => (await readdir(env.DATA_DIR)).filter(name => name.endsWith('.sock'))
  const after = await sockets()
  const clock = (): string => /\d\d:\d\d:\d\d UTC/.exec(terminal.screen())?.[0] ?? ''
  const drawn = clock()
  const before = terminal.drawn().length
  await until(() => terminal.drawn().length > before + 2 * terminal.screen().length)
  t.same([await sockets(), clock()], [after, drawn], 'it was read once, and is not held from the gateway that wants it')
  const again = await serve(t, env)
  await until(() => / s ago /.test(terminal.screen()))
  terminal.type('q')
  t.same(await terminal.ended, { code: 0, isRestored: true })
  again.running.child.kill('SIGTERM')
  await again.running.ended

  const alone = parseObject((await runCli(t, ['top', '--once', '--json'], { ...env, FAL_CONCURRENCY: '3' })).stdout)
  t.same({ ...alone, time: null, replicas: null }, { ...told, time: null, replicas: null })
  t.same(alone['replicas'], [])
  t.ok((await readFile(join(env.DATA_DIR, '000001.log'))).length > 0)
})

t.test('what root writes in a folder belongs to whom the folder belongs to, so that the gateway can open it', async t => {
  const above = t.testdir({})
  const [nobody, nogroup] = [65_534, 65_534]
  // Without the rights of root a process can write nothing that belongs to others.
  if (process.getuid?.() === 0) await chown(above, nobody, nogroup)
  const { uid, gid } = await stat(above)
  const env = { DATA_DIR: join(above, 'data') }
  const others = async (): Promise<readonly string[]> => {
    const paths = [env.DATA_DIR, ...(await readdir(env.DATA_DIR)).map(name => join(env.DATA_DIR, name))]
    const found = await Promise.all(paths.map(async path => ({ path, of: await stat(path) })))
    return found.filter(({ of }) => of.uid !== uid || of.gid !== gid).map(({ path }) => path)
  }
  const { running, url } = await serve(t, env)
  t.equal((await generate(url, { prompt: 'a lighthouse' })).status, 200)
  t.same(await others(), [], 'a gateway that root started')
  running.child.kill('SIGTERM')
  await running.ended
  t.match(await runHere(['export', '--move', join(above, 'moved.jsonl')], env), { code: 0 })
  t.match(await runHere(['ledger', 'take-back'], env), { code: 0 })
  t.same(await others(), [], 'operators as root')
})
