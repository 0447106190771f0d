// `falgate top`: what it shows agrees with the ledger and the metrics, in a terminal and out of it, and the terminal is given back.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { runHere } from '../support/cli.ts'
import { CENTRAL_KEY, parseObject, STUDIO_KEY, tenant } from '../support/gateway.ts'
import { cliFile } from '../support/paths.ts'
import { codeBlocksOf, pageAt, sectionOf } from '../support/pages.ts'
import { runCli, type Env } from '../support/processes.ts'
import { plainClient } from '../support/redis-store.ts'
import { startRedis } from '../support/redis.ts'
import { deploy, type Deployment, type Replica } from '../support/replicas.ts'
import { restartableRedis } from '../support/restartable-redis.ts'
import { startTerminal, type Terminal } from '../support/terminal.ts'
import { until } from '../support/until.ts'

t.setTimeout(300_000)

const PROMPT = 'a very private wish'
const REDIS_PASSWORD = 'p4ss-of-redis'

/** All that was said and drawn. */
const said: string[] = []

interface Scene extends Deployment {
  readonly replica: Replica
  readonly env: Env
  /** Ends what was held at fal. */
  readonly letGo: () => void
}

/** A gateway with two places at fal, one failure behind it, two generations at fal and three in the line. */
async function busy (t: Test): Promise<Scene> {
  const redis = await startRedis(t)
  await plainClient(t, redis.url).config('SET', 'requirepass', REDIS_PASSWORD)
  const redisUrl = redis.url.replace('redis://', `redis://:${REDIS_PASSWORD}@`)
  const tenants = { budget: { usd: 500, per: 'month' }, tenants: [tenant('studio', { budget: { usd: 50, per: 'day' } }), tenant('agency')] }
  const deployment = await deploy(t, { redisUrl, tenants, env: { FAL_CONCURRENCY: '2', LEASE_SECONDS: '15' } })
  const replica = await deployment.startReplica()
  const { sandbox, ledger } = deployment
  sandbox.faults.add({ kind: 'job', operation: 'submit', error: 'content_policy_violation' })
  await replica.generate({ prompt: PROMPT, seed: 1 })
  const letGo = sandbox.faults.holdJobs()
  for (let seed = 2; seed <= 6; seed += 1) await replica.generate({ prompt: PROMPT, seed }, { headers: { prefer: 'respond-async' } })
  await until(async () => {
    const [standing] = await ledger.standings(['studio'])
    const [seen] = await ledger.replicas()
    return standing?.running === 2 && standing.waiting === 3 && seen?.following === 2
  })
  return { ...deployment, replica, letGo, env: { ...deployment.operatorEnv, TENANTS_FILE: deployment.tenantsFile, FAL_KEY: CENTRAL_KEY, FAL_CONCURRENCY: '2' } }
}

t.test('with a gateway under load', async t => {
  const scene = await busy(t)
  const { env, replica, ledger } = scene

  await t.test('--once --json is one object whose figures are those of ledger and metrics, and whose names docs/operations.md lists', async t => {
    const metrics = (await replica.get('/metrics')).text
    const metric = (name: string): number => Number(new RegExp(`^${name.replace(/[{}*]/g, '\\$&')} (\\S+)$`, 'm').exec(metrics)?.[1])
    const ended = await runCli(t, ['top', '--once', '--json'], env)
    said.push(ended.stdout)
    t.match(ended, { code: 0, stderr: '' })
    const told = parseObject(ended.stdout)
    const [failure] = await ledger.failures(1, null)
    t.match(told, {
      waiting: metric('falgate_waiting{tenant="studio"}'),
      slots: { used: metric('falgate_slots_used{account="main"}'), open: metric('falgate_slots_open{account="main"}'), total: metric('falgate_slots{account="main"}') },
      accounts: [{ account: 'main', used: 2, open: 2, total: 2 }],
      state: 'ok',
      breakers: [],
      company: { period: /^\d{4}-\d\d$/, budget_usd: 500, held_usd: metric('falgate_budget_held_usd{tenant="*"}'), left_usd: metric('falgate_budget_left_usd{tenant="*"}') },
      unknown: { open: metric('falgate_unknown_open'), oldest_seconds: null },
      large_result_bytes: 0,
      tenants: [
        { tenant: 'studio', running: 2, waiting: 3, period: /^\d{4}-\d\d-\d\d$/, budget_usd: 50, held_usd: metric('falgate_budget_held_usd{tenant="studio"}'), left_usd: metric('falgate_budget_left_usd{tenant="studio"}') },
        { tenant: 'agency', running: 0, waiting: 0, oldest_waiting_seconds: null, budget_usd: null, left_usd: null }
      ],
      failures: [{ id: failure?.id, tenant: 'studio', model: failure?.model, code: 'content-refused', time: new Date(failure?.finishedAtMs ?? 0).toISOString() }],
      replicas: [{ replica: replica.name, following: 2 }],
      notes: []
    })
    t.ok(Number(told['oldest_waiting_seconds']) > 0)
    const documented = (names: string): readonly string[] => [...names.matchAll(/`([a-z_]+)`/g)].map(([, name = '']) => name)
    const rows = [...sectionOf(pageAt('docs/operations.md'), 'On call').matchAll(/^\| `([a-z_]+)` \| (.*) \|$/gm)]
    t.same(rows.map(([, name]) => name), Object.keys(told), 'every member has its row')
    for (const [, name = '', meaning = ''] of rows) {
      const value = told[name]
      const member: unknown = Array.isArray(value) ? value[0] : value
      if (typeof member === 'object' && member !== null) t.same(Object.keys(member).filter(inner => !documented(meaning).includes(inner)), [], name)
    }
  })

  await t.test('without a terminal it is drawn once, without escapes, as docs/operations.md shows', async t => {
    for (const args of [['top'], ['top', '--once']]) {
      const ended = await runCli(t, args, env)
      said.push(ended.stdout)
      t.match(ended, { code: 0, stderr: '' })
      // eslint-disable-next-line no-control-regex -- there is to be none
      t.notMatch(ended.stdout, /\x1b/)
      const [block] = codeBlocksOf(sectionOf(pageAt('docs/operations.md'), 'On call')).filter(({ code }) => code.includes('Places'))
      const lasting = (text: string): string => text.trim().replace(/ledger \S+/i, 'ledger').replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, 'id').replace(/\$[\d.]+/g, '$').replace(/\d{4}-\d\d(?:-\d\d)?/g, 'day').replace(/[\d:]+/g, 'n').replace(/ +/g, ' ')
      t.equal(lasting(ended.stdout), lasting(block?.code.replace(/^falgate top --once\n/, '') ?? ''))
    }
  })

  await t.test('of several accounts each has its own places', async t => {
    const keys = join(t.testdir({ keys: `main ${CENTRAL_KEY} concurrency=2\nsecond other:key concurrency=3\n` }), 'keys')
    const { stdout } = await runHere(['top', '--once', '--json'], { ...env, FAL_KEY: '', FAL_KEY_FILE: keys })
    t.match(parseObject(stdout), { slots: { used: 2, total: 2 }, accounts: [{ account: 'main', used: 2, open: 2, total: 2 }] }, 'as far as the ledger knows them')
    t.notMatch(stdout, /other:key/)
    t.same((await ledger.gauges()).accounts.map(({ upstream }) => upstream), ['fal main'], 'and nothing was made known to it')
    const other = await runHere(['top', '--once', '--json'], { ...env, FAL_ACCOUNT: 'staging' })
    t.match(parseObject(other.stdout), { waiting: 3, notes: [/another account/] })
  })

  await t.test('--tenant shows money and failures of one tenant', async t => {
    const { stdout } = await runCli(t, ['top', '--once', '--json', '--tenant', 'agency'], env)
    t.match(parseObject(stdout), { waiting: 3, tenants: [{ tenant: 'agency', waiting: 0 }], failures: [] })
    t.equal(Reflect.get(Object(parseObject(stdout)['tenants']), 'length'), 1)
  })

  await t.test('without TENANTS_FILE a real key is told that budgets are not known, and who waits is shown', async t => {
    const { stdout } = await runHere(['top', '--once', '--json'], { ...env, TENANTS_FILE: '' })
    t.match(parseObject(stdout), { tenants: [{ tenant: 'studio', waiting: 3, left_usd: null }], notes: [/^TENANTS_FILE: not set/] })
  })

  await t.test('budgets are those of the tenants file as it is now; while that is faulty those of before, and it says so', async t => {
    const file = join(t.testdir({}), 'tenants.json')
    const write = (budgetUsd: number | string): void => { writeFileSync(file, JSON.stringify({ tenants: [tenant('studio', { budget: { usd: budgetUsd, per: 'day' } })] })) }
    write(50)
    const terminal = watched(t, { ...env, TENANTS_FILE: file }, ['--interval', '0.5'])
    const spentAndHeld = 0.3
    const leftOf = (usd: number): RegExp => new RegExp(`studio .*\\$${usd - spentAndHeld} `)
    await until(() => leftOf(50).test(terminal.screen()))
    write(80)
    await until(() => leftOf(80).test(terminal.screen()))
    write('a lot')
    await until(() => /budgets are those of before: TENANTS_FILE: .*budget/.test(terminal.screen()))
    t.match(terminal.screen(), leftOf(80))
    write(60)
    await until(() => leftOf(60).test(terminal.screen()) && !/those of before/.test(terminal.screen()))
    terminal.type('q')
    t.same(await terminal.ended, { code: 0, isRestored: true })
    said.push(terminal.drawn())
  })

  await t.test('in a terminal it is drawn again and again as it changes, fits its size, and q gives the terminal back', async t => {
    const terminal = watched(t, env, ['--interval', '0.5'])
    await until(() => /3 wait/.test(terminal.screen()) && /every 0\.5 s, q quits/.test(terminal.screen()))
    t.match(terminal.drawn(), /^\x1b\[\?1049h\x1b\[\?25l/, 'a screen of its own') // eslint-disable-line no-control-regex -- of a terminal
    t.match(terminal.drawn(), /\x1b\[1m/, 'with colours') // eslint-disable-line no-control-regex -- of a terminal
    scene.letGo()
    await until(() => /nothing waits/.test(terminal.screen()) && /0 of 2 used/.test(terminal.screen()))
    terminal.resize(40, 12)
    await until(() => {
      const lines = terminal.screen().split('\n')
      return lines.length <= 12 && lines.every(line => line.length <= 40)
    })
    t.match(terminal.screen(), /^Ledger /)
    terminal.type('q')
    t.same(await terminal.ended, { code: 0, isRestored: true })
    t.match(terminal.drawn(), /\x1b\[\?25h\x1b\[\?1049l$/, 'what was there before comes back') // eslint-disable-line no-control-regex -- of a terminal
    said.push(terminal.drawn())
  })

  await t.test('Ctrl-C and SIGTERM give it back, too, and NO_COLOR has no colours', async t => {
    for (const end of [(terminal: Terminal) => { terminal.type('\x03') }, (terminal: Terminal) => { terminal.signal('SIGTERM') }]) {
      const terminal = watched(t, { ...env, NO_COLOR: '1' }, [])
      await until(() => /Guard/.test(terminal.screen()))
      end(terminal)
      t.same(await terminal.ended, { code: 0, isRestored: true })
      t.notMatch(terminal.drawn(), /\x1b\[\d+m/) // eslint-disable-line no-control-regex -- of a terminal
      t.match(terminal.drawn(), /\x1b\[\?1049l$/) // eslint-disable-line no-control-regex -- of a terminal
    }
  })
})

function watched (t: Test, env: Env, args: readonly string[]): Terminal {
  return startTerminal(t, ['/usr/bin/env', '-u', 'NODE_OPTIONS', process.execPath, cliFile, 'top', ...args], env)
}

t.test('where Redis is away it says so and goes on trying, with the figures of before; once it ends with 1', async t => {
  const redis = await restartableRedis(t)
  const env = { REDIS_URL: redis.url }
  await redis.kill()
  const once = await runCli(t, ['top', '--once', '--json'], env)
  t.match(once, { code: 1, stdout: '', stderr: /^falgate: REDIS_URL: the ledger there cannot be reached: .*ECONNREFUSED/ })
  const terminal = watched(t, env, ['--interval', '0.5'])
  await until(() => /REDIS_URL: the ledger there cannot be reached/.test(terminal.screen()))
  await redis.start('empty')
  await until(() => /No replica has a heartbeat/.test(terminal.screen()) && !/cannot be reached/.test(terminal.screen()))
  await redis.kill()
  await until(() => /cannot be reached: .*\(the figures are those of \d\d:\d\d:\d\d\)/.test(terminal.screen().replaceAll('\n', ' ')) && /nothing waits/.test(terminal.screen()))
  await redis.start('empty')
  await until(() => !/cannot be reached/.test(terminal.screen()))
  terminal.type('q')
  t.same(await terminal.ended, { code: 0, isRestored: true })
})

t.test('where the ledger lives in the gateway\'s process it says so, as other commands on the ledger do', async t => {
  const [top, usage] = [await runHere(['top', '--once']), await runHere(['usage', '--csv'])]
  t.match(top, { code: 1, stderr: /^falgate: REDIS_URL, DATA_DIR: neither is set/ })
  t.same(top, usage)
})

t.test('what cannot be meant is misused', async t => {
  for (const [args, message] of [[['--json'], /--json needs --once/], [['--interval', '0'], /--interval needs seconds/], [['--interval', 'x'], /--interval needs seconds/], [['--once', '--interval', '2'], /not both/], [['--tenant', 'a b'], /a tenant's id/]] as const) {
    t.match(await runHere(['top', ...args]), { code: 2, stderr: message })
  }
})

t.test('no prompt, key or password was in anything that was said or drawn', t => {
  const all = said.join('\n')
  t.ok(all.length > 3000)
  t.same([PROMPT, CENTRAL_KEY, 'central-key-secret', STUDIO_KEY, REDIS_PASSWORD].filter(secret => all.includes(secret)), [])
  t.end()
})
