// Which tokens the ledger is asked about: those that a key of this gateway gave out.

import { hash } from 'node:crypto'
import t from 'tap'
import { createTokenCallers, type TokenCaller } from '../../src/http/token-callers.ts'
import { newId, newSecret } from '../../src/ids.ts'
import { createMemoryLedger } from '../../src/store/memory/ledger.ts'
import { markOf, type TenantBook, type TenantKey } from '../../src/tenants/book.ts'
import { createSecret } from '../../src/tenants/tokens.ts'
import { never, times, tokenOf } from '../support/admission.ts'
import { bookOf, tenant } from '../support/gateway.ts'
import { keyEntry } from '../support/tokens.ts'
import { until } from '../support/until.ts'

const book = bookOf({ tenants: [tenant('studio'), tenant('agency')] })

/** A ledger that counts how often it is asked about a token. */
function open () {
  const ledger = createMemoryLedger({ times, now: () => 0, account: { kind: 'sandbox', name: 'main' } })
  let reads = 0
  const callers = createTokenCallers({ now: ledger.now, token: async id => { reads += 1; return await ledger.token(id) } })

  /** Gives out a token, of studio's unless another key does. */
  async function give (key = keyOf(book, 'studio')): Promise<{ readonly id: string, readonly secret: string }> {
    const id = newId()
    const { token, secretSha256 } = createSecret(id, key)
    const terms = { keyId: key.id, label: null, models: null, allow: {}, cache: [], pictures: 3, money: null }
    await ledger.mint(tokenOf({ id, subject: id, tenant: key.tenant.id, secretSha256, terms: JSON.stringify(terms), expiresAtMs: never }))
    return { id, secret: token.slice(`fgt_${id}_`.length) }
  }

  return { ledger, callers, give, reads: () => reads }
}

function keyOf (book: TenantBook, id: string): TenantKey {
  const key = book.find(id)
  if (key === undefined) throw new Error(`no key ${id}`)
  return key
}

/** Who is found, or the code of the refusal. */
async function found (ask: () => TokenCaller | Promise<TokenCaller>): Promise<string> {
  try {
    return (await ask()).caller.tenant.id
  } catch (error) {
    return String(Reflect.get(Object(error), 'code'))
  }
}

t.test('thousands of made-up tokens cost the ledger no question, and one that this process has not met is taken meanwhile', async t => {
  const { callers, give, reads } = open()
  const { id, secret } = await give()
  const makers = [
    () => ({ id: newId(), secret: newSecret() }),
    // In the form of this gateway's own, the mark of a key included.
    () => ({ id: newId(), secret: secret.slice(0, 32) + newSecret().slice(0, 11) }),
    // That of another token, and one that a stranger's key gave out.
    () => ({ id: newId(), secret }),
    () => sealed(newId(), { ...keyOf(book, 'studio'), digest: hash('sha256', 'a stranger\'s', 'buffer') }),
    () => ({ id: 'x', secret: 'y' })
  ]
  const strangers = Promise.all(Array.from({ length: 5000 }, async (_, n) => await found(() => callers.recognise(book, makers[n % makers.length]?.() ?? { id: '', secret: '' }))))
  t.equal(await found(() => callers.recognise(book, { id, secret })), 'studio')
  t.same(new Set(await strangers), new Set(['key-unknown']))
  t.equal(reads(), 1)
})

function sealed (id: string, key: TenantKey): { readonly id: string, readonly secret: string } {
  return { id, secret: createSecret(id, key).token.slice(`fgt_${id}_`.length) }
}

t.test('who could make seals has no secret for that', async t => {
  const { callers, give } = open()
  const { id } = await give()
  t.equal(await found(() => callers.recognise(book, sealed(id, keyOf(book, 'studio')))), 'key-unknown', 'another secret of the same token')
})

t.test('a token that was forgotten is asked about once in 800 ms, however often it comes', async t => {
  const { callers, reads } = open()
  const said = sealed(newId(), keyOf(book, 'studio'))
  const answers: string[] = []
  const beganAtMs = performance.now()
  for (let n = 0; n < 1000; n += 1) answers.push(await found(() => callers.recognise(book, said)))
  t.same(new Set(answers), new Set(['key-unknown']))
  t.ok(reads() <= 1 + (performance.now() - beganAtMs) / 800, `${reads()} questions`)
})

t.test('a token ends when its key has another secret, or is taken out', async t => {
  const { callers, give } = open()
  const said = await give()
  const changed = bookOf({ tenants: [tenant('studio', { keys: [keyEntry('studio', { sha256: hash('sha256', 'a new one') })] })] })
  const without = bookOf({ tenants: [tenant('studio', { keys: [keyEntry('second')] })] })
  t.equal(await found(() => callers.recognise(changed, said)), 'key-unknown')
  t.equal(await found(() => callers.recognise(book, said)), 'studio')
  t.equal(await found(() => callers.recognise(without, said)), 'token-revoked', 'a process that has met it says why')
})

t.test('a stream of a token that the ledger has lost is told so', async t => {
  const { callers } = open()
  const { id } = sealed(newId(), keyOf(book, 'studio'))
  t.equal(callers.isInForce(book, id), true, 'nothing is known yet')
  await until(() => !callers.isInForce(book, id))
})

t.test('of keys whose marks are the same each has its own seal', async t => {
  const [one, other] = ['key-8337', 'key-15029']
  t.equal(markOf(one), markOf(other))
  const crowded = bookOf({ tenants: [tenant('studio', { keys: [keyEntry(one), keyEntry(other)] })] })
  const { callers, give } = open()
  for (const id of [one, other]) t.equal(await found(async () => await callers.recognise(crowded, await give(keyOf(crowded, id)))), 'studio')
})
