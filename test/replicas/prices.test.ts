// Replicas whose tenants files have different prices: only one table buys, and the others say so.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { tenant } from '../support/gateway.ts'
import { deploy, type Replica } from '../support/replicas.ts'
import { until } from '../support/until.ts'

const MODEL = 'fal-ai/imagen4/preview/ultra'

/** A tenants file of a replica's own, with a budget for five pictures at the usual price. */
function ownFile (t: Test, name: string): { readonly path: string, readonly write: (usd: number, more?: object) => void } {
  const path = join(t.testdirName, `${name}.json`)
  return {
    path,
    write: (usd, more = {}) => { writeFileSync(path, JSON.stringify({ prices: { [MODEL]: usd }, tenants: [tenant('studio', { budget: { usd: 0.3, per: 'month' } })], ...more })) }
  }
}

async function codeOf (replica: Replica): Promise<string> {
  const reply = await replica.generate({ prompt: 'x' })
  return reply.status === 200 ? 'bought' : String(reply.json()['code'])
}

function linesOf (replica: Replica, part: string): string[] {
  return replica.log().split('\n').filter(line => line.includes(part))
}

/** Gives a replica another table, and waits until it is in force. */
async function reload (replica: Replica, write: () => void): Promise<void> {
  const before = linesOf(replica, 'tenants file in force').length
  write()
  replica.child.kill('SIGHUP')
  await until(() => linesOf(replica, 'tenants file in force').length > before)
}

t.test('two tables never buy side by side; the older one is told once, with both names, and comes back when it replaces the other', async t => {
  t.testdir({})
  const { startReplica, ledger } = await deploy(t)
  const [one, two] = [ownFile(t, 'one'), ownFile(t, 'two')]
  one.write(0.06)
  two.write(0.03)
  const first = await startReplica({ TENANTS_FILE: one.path })
  const second = await startReplica({ TENANTS_FILE: two.path })
  t.match(linesOf(second, `the price of ${MODEL} is below the known 0.06 USD`), [/"level":"warn"/], 'the warning of check, at start')
  t.same(linesOf(first, 'is below the known'), [])

  t.equal(await codeOf(first), 'bought')
  t.equal(await codeOf(second), 'bought', 'a table that the ledger has not seen is newer')
  const refused = await first.generate({ prompt: 'x' })
  t.match([refused.status, refused.json()['code'], refused.headers.get('retry-after')], [503, 'price-table-differs', '5'])
  for (let request = 0; request < 3; request += 1) t.equal(await codeOf(first), 'price-table-differs')
  await until(() => linesOf(first, 'ledger_price_rule').length > 0)
  t.equal(linesOf(first, 'ledger_price_rule').length, 1)
  const told = /"price_rule":"([\w-]{43})","ledger_price_rule":"([\w-]{43})"/.exec(linesOf(first, 'ledger_price_rule')[0] ?? '')
  t.ok(told !== null && told[1] !== told[2])
  t.match(await ledger.balances([{ owner: 'studio', per: 'month' }]), [{ held: 0, spent: 60_000 + 30_000 }])

  await reload(first, () => { one.write(0.03) })
  t.equal(linesOf(first, 'is below the known').length, 1, 'and on reload')
  t.equal(await codeOf(first), 'bought')

  await reload(first, () => { one.write(0.06) })
  t.equal(await codeOf(first), 'bought', 'a replica that had the table in force and was given another one has a newer one')
  t.equal(await codeOf(second), 'price-table-differs')
  await reload(second, () => { two.write(0.06) })
  t.equal(await codeOf(second), 'bought')
})

t.test('a process that starts with a table that was replaced does not buy, until the file says that it is meant', async t => {
  t.testdir({})
  const { startReplica } = await deploy(t)
  const [old, now] = [ownFile(t, 'old'), ownFile(t, 'now')]
  old.write(0.06)
  now.write(0.07)
  t.equal(await codeOf(await startReplica({ TENANTS_FILE: old.path })), 'bought')
  const current = await startReplica({ TENANTS_FILE: now.path })
  t.equal(await codeOf(current), 'bought')
  const stale = await startReplica({ TENANTS_FILE: old.path })
  t.equal(await codeOf(stale), 'price-table-differs', 'that it started later says nothing')
  t.equal(await codeOf(current), 'bought')
  await reload(stale, () => { old.write(0.06, { pricesRevision: 1 }) })
  t.equal(await codeOf(stale), 'bought')
  t.equal(await codeOf(current), 'price-table-differs')
})
