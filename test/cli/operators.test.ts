// Operators' commands on the ledger of a Redis: the journal for finance, the open unknowns, a word on one of them.

import t from 'tap'
import type { Test } from 'tap'
import { createRedisLedger, type RedisLedger } from '../../src/store/redis/ledger.ts'
import { admissionOf, freshId, never, price, successOf, times, traceLost } from '../support/admission.ts'
import { runHere } from '../support/cli.ts'
import { parseObject } from '../support/gateway.ts'
import { startOldRedis } from '../support/old-redis.ts'
import { cliFile } from '../support/paths.ts'
import { start, type Env } from '../support/processes.ts'
import { freshNamespace, plainClient } from '../support/redis-store.ts'
import { redisUrl, startRedis } from '../support/redis.ts'

// Many processes are started one after another, which takes a slow machine its time.
t.setTimeout(300_000)

interface Books {
  /** The ledger, with a clock that the test moves. */
  readonly ledger: RedisLedger
  readonly env: Env
  readonly setNow: (atMs: number) => void
  /** A generation that was bought at this price. */
  readonly buy: (cost: number) => Promise<string>
  /** One whose outcome is unknown. */
  readonly lose: () => Promise<string>
}

async function books (t: Test): Promise<Books> {
  const [url, namespace] = [await redisUrl(), freshNamespace()]
  let nowMs = Date.now()
  const ledger = createRedisLedger({ url, namespace, times, clock: { now: () => nowMs } })
  t.teardown(ledger.close)
  await ledger.connect()

  async function claimed (): Promise<string> {
    const { id } = admissionOf()
    await ledger.admit(admissionOf({ id, rate: { max: 10_000, windowSeconds: 60 } }))
    await ledger.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: 1000 })
    return id
  }
  return {
    ledger,
    env: { REDIS_URL: url, REDIS_NAMESPACE: namespace, NODE_ENV: 'production' },
    setNow: atMs => { nowMs = atMs },
    buy: async cost => {
      const id = await claimed()
      await ledger.recordAccepted(id, 1, `request,"${id}"`)
      await ledger.finish(id, 1, `request,"${id}"`, successOf({ cost }))
      return id
    },
    lose: async () => {
      const id = await claimed()
      await ledger.recordUnknown(id, 1, null, traceLost)
      return id
    }
  }
}

t.test('usage exports every line once, in order, page after page, from inclusive to exclusive', async t => {
  const { env, buy, setNow } = await books(t)
  const startMs = Date.UTC(2026, 9, 31, 23, 59, 59, 999)
  const ids: string[] = []
  for (let count = 0; count < 1005; count += 1) {
    if (count < 3 || count === 1004) setNow(startMs + count)
    ids.push(await buy(count))
  }
  const whole = await runHere(['usage', '--csv', '--from', '2026-10-01', '--to', '2026-12-01'], env)
  t.match(whole, { code: 0, stderr: '' })
  const [head, ...lines] = whole.stdout.trimEnd().split('\n')
  t.equal(head, 'time,kind,generation,tenant,model,request_id,accounts,amount_usd,assumed')
  t.same(lines.map(line => line.split(',')[2]), ids.slice(1), 'what cost nothing is no line')
  t.equal(lines[0], `2026-11-01T00:00:00.000Z,purchase,${ids[1]},studio,fal-ai/imagen4/preview/ultra,"request,""${ids[1]}""",studio:2026-11 *:2026-11,0.000001,false`)

  const part = await runHere(['usage', '--jsonl', '--from', '2026-11-01T00:00:00.001Z', '--to', '2026-11-01T00:00:00.002Z'], env)
  const entries = part.stdout.trimEnd().split('\n').map(parseObject)
  t.equal(entries.length, 1002)
  t.match(entries[0], { time: '2026-11-01T00:00:00.001Z', kind: 'purchase', generation: ids[2], tenant: 'studio', accounts: ['studio:2026-11', '*:2026-11'], amount_usd: 0.000002, assumed: false })
})

t.test('usage without dates is this month until now', async t => {
  const { env, buy, setNow } = await books(t)
  setNow(Date.now() - 40 * 86_400_000)
  await buy(1)
  setNow(Date.now())
  const id = await buy(2)
  const { stdout } = await runHere(['usage', '--jsonl'], env)
  t.same(stdout.trimEnd().split('\n').map(line => parseObject(line)['generation']), [id])
})

t.test('usage whose reader leaves ends quietly', async t => {
  const { env, buy } = await books(t)
  for (let count = 1; count < 200; count += 1) await buy(count)
  const running = start(t, [cliFile, 'usage', '--csv'], env)
  running.child.stdout?.destroy()
  t.match(await running.ended, { code: 0, stderr: '' })
})

t.test('unknown tells what there is and what to do, settle ends it, and both say clearly when there is nothing', async t => {
  const { ledger, env, lose, setNow } = await books(t)
  t.same(await runHere(['unknown'], env), { code: 0, stdout: 'nothing is unknown\n', stderr: '' })
  t.same(await runHere(['unknown', '--jsonl'], env), { code: 0, stdout: '', stderr: '' })
  setNow(Date.now() - 11 * 60_000)
  const [billed, unbilled] = [await lose(), await lose()]
  setNow(Date.now())
  const young = await lose()

  const table = await runHere(['unknown'], env)
  t.match(table, { code: 0, stderr: '' })
  t.match(table.stdout, new RegExp(`^id +tenant +model +admitted +unknown since +age +price +request id\n${billed} +studio .* 11 min +\\$0.06 +-\n${unbilled} [^]*\n${young} .* 0 min [^]*falgate settle <id> --billed`))
  const facts = (await runHere(['unknown', '--jsonl'], env)).stdout.trimEnd().split('\n').map(parseObject)
  t.match(facts, [{ id: billed, tenant: 'studio', price_usd: 0.06, request_id: null, settleable: true }, { id: unbilled }, { id: young, settleable: false }])

  t.same(await runHere(['settle', billed, '--billed'], env), { code: 0, stdout: `${billed} is settled as billed: $0.06 of studio is spent\n`, stderr: '' })
  t.same(await runHere(['settle', unbilled, '--unbilled'], env), { code: 0, stdout: `${unbilled} is settled as not billed: $0.06 of studio is free again\n`, stderr: '' })
  t.match(await runHere(['settle', billed, '--unbilled'], env), { code: 1, stdout: '', stderr: /is not unknown/ })
  t.match(await runHere(['settle', young, '--billed'], env), { code: 1, stdout: '', stderr: /less than 10 minutes/ })
  t.match(await runHere(['settle', 'nobody', '--billed'], env), { code: 1, stdout: '', stderr: 'falgate: there is no generation nobody\n' })
  t.match(await runHere(['settle', young], env), { code: 2 })
  t.match(await ledger.balances([{ owner: 'studio', per: 'month' }]), [{ held: price, spent: price }])
  t.same(await ledger.audit(), [])
})

t.test('correct mends what was booked, once however often it is said, or confirms it, and says clearly when there is nothing to correct', async t => {
  const { ledger, env, buy, lose } = await books(t)
  const id = await buy(Number.MAX_SAFE_INTEGER)
  t.same(await runHere(['correct', id, '--usd', '0.12'], env), { code: 0, stdout: `${id} is corrected: $0.12 of studio is spent instead of $0.6; fal-ai/imagen4/preview/ultra is bought again\n`, stderr: '' })
  t.same(await runHere(['correct', id, '--usd', '0.12'], env), { code: 0, stdout: `${id} is confirmed: $0.12 of studio is spent\n`, stderr: '' })
  t.same(await runHere(['correct', id, '--usd', '0.2'], env), { code: 0, stdout: `${id} is corrected: $0.2 of studio is spent instead of $0.12\n`, stderr: '' })
  const other = await buy(Number.MAX_SAFE_INTEGER)
  t.same(await runHere(['correct', other, '--confirm'], env), { code: 0, stdout: `${other} is confirmed: $0.6 of studio is spent; fal-ai/imagen4/preview/ultra is bought again\n`, stderr: '' })
  const model = 'fal-ai/imagen4/preview/ultra'
  t.same(await runHere(['correct', model, '--confirm'], env), { code: 1, stdout: '', stderr: `falgate: the price of ${model} is not unsure: there is nothing to confirm\n` })
  await buy(Number.MAX_SAFE_INTEGER)
  t.same(await runHere(['correct', model, '--confirm'], env), { code: 0, stdout: `the price of ${model} is confirmed; it is bought again\n`, stderr: '' })
  t.match(await runHere(['correct', await lose(), '--confirm'], env), { code: 1, stdout: '', stderr: /has not ended.*falgate settle/ })
  t.match(await runHere(['correct', 'nobody', '--usd', '1'], env), { code: 1, stdout: '', stderr: 'falgate: there is no generation nobody (any more)\n' })
  const lines = (await runHere(['usage', '--csv'], env)).stdout.split('\n').filter(line => line.includes(id)).map(line => line.split(',')).map(cells => [cells[1], cells.at(-2), cells.at(-1)])
  t.same(lines, [['purchase', '0.6', 'true'], ['correction', '-0.48', 'false'], ['correction', '0.08', 'false']])
  t.match(await ledger.balances([{ owner: 'studio', per: 'month' }]), [{ spent: 200_000 + 600_000 + 600_000 }])
  t.same(await ledger.audit(), [])
})

t.test('ledger recount tells what does not follow from the generations, changes it only with --write, and its exit code says whether something is left', async t => {
  const { ledger, env, buy, lose } = await books(t)
  await buy(price)
  await lose()
  t.same(await runHere(['ledger', 'recount'], env), { code: 0, stdout: '2 generations are counted: every counter and index is right\n', stderr: '' })
  const redis = plainClient(t, String(env['REDIS_URL']))
  const key = (name: string): string => `{${String(env['REDIS_NAMESPACE'])}}:${name}`
  const account = `studio:${new Date(ledger.now()).toISOString().slice(0, 7)}`
  await redis.hincrby(key('glob'), 'active', 3)
  await redis.hincrby(key('t:studio'), 'running', -10)
  await redis.hincrby(key(`m:${account}`), 'held', 60_000)
  const told = ['3 slots are counted as used, 0 generations are at fal', 'studio: -10 are counted as running, 0 generations are', `${account}: $0.12 are held, open generations are worth $0.06`]
  const dry = [...told, '3 differences in 2 generations; nothing is changed, falgate ledger recount --write mends them', ''].join('\n')
  t.same(await runHere(['ledger', 'recount'], env), { code: 1, stdout: dry, stderr: '' })
  t.same(await runHere(['ledger', 'recount'], env), { code: 1, stdout: dry, stderr: '' })
  t.same(await runHere(['ledger', 'recount', '--write'], env), { code: 0, stdout: [...told, '3 differences in 2 generations, 3 mended', ''].join('\n'), stderr: '' })
  t.same(await ledger.audit(), [])
  await redis.hincrby(key(`m:${account}`), 'spent', 60_000)
  t.match(await runHere(['ledger', 'recount', '--write'], env), { code: 1, stdout: /\$0.18 are spent or open, the journal explains \$0.12\n1 difference in 2 generations, 0 mended\nwhat was spent is never changed/, stderr: '' })
  t.match(await runHere(['ledger', 'recount', '--csv'], env), { code: 2 })
})

t.test('without a shared ledger, or one that answers, there is one sentence', async t => {
  t.same(await runHere(['unknown'], {}), {
    code: 1, stdout: '', stderr: 'falgate: REDIS_URL, DATA_DIR: neither is set; without them the ledger lives inside the gateway\'s own process, and no other can read it\n'
  })
  t.same(await runHere(['usage', '--csv'], { REDIS_URL: 'redis://user:secret@127.0.0.1:1' }), { code: 1, stdout: '', stderr: 'falgate: REDIS_URL: the ledger there cannot be reached: connect ECONNREFUSED 127.0.0.1:1\n' })
})

t.test('why a Redis cannot be used is told by every operator\'s command, and no secret with it', async t => {
  const server = await startRedis(t)
  await plainClient(t, server.url).config('SET', 'requirepass', 'right-password')
  const primary = await startRedis(t)
  const replica = await startRedis(t, ['--replicaof', '127.0.0.1', String(primary.port)])
  const commands = [['usage', '--csv'], ['unknown'], ['settle', 'nobody', '--billed'], ['ledger', 'recount']]
  for (const [url, why] of [
    [`redis://:wrong-password@127.0.0.1:${server.port}`, /cannot be reached: WRONGPASS/],
    [server.url, /cannot be reached: NOAUTH/],
    [replica.url, /^falgate: REDIS_URL leads to a replica/],
    [await startOldRedis(t, primary.port), /needs Redis 7 or newer/],
    [`${primary.url}/99`, /^falgate: REDIS_URL: .*database 99/]
  ] as const) {
    for (const { code, stdout, stderr } of await Promise.all(commands.map(async args => await runHere(args, { REDIS_URL: url })))) {
      t.match({ code, stderr }, { code: 1, stderr: why })
      t.notMatch(stdout + stderr, /(wrong|right)-password/)
    }
  }
})
