// A ledger on Redis as the entries in which it travels (`store/moving/`): every key that does not follow from others, read piece by piece.

import { setImmediate } from 'node:timers/promises'
import { integerOf, listOf, recordOf, textOf } from '../../generation/fields.ts'
import { accountsIn } from '../../generation/generation.ts'
import { isAtUpstream, phases } from '../../generation/phases.ts'
import { ledgerConstants } from '../../generation/ledger-constants.ts'
import { BETWEEN_ACCOUNTS } from '../../upstream-account.ts'
import type { Entry, Image, LeavingLedger, MovedTable } from '../moving/entry.ts'
import type { RedisClient } from './clients.ts'
import type { Connection } from './connection.ts'
import { unfolded } from './folds.ts'
import { keysOf } from './keys.ts'
import { cardIn } from './wire-rows.ts'

/** How many are read at one go: rows are up to some hundred KiB each. */
const ROWS = 20
const PAGE = 500

/** How often books are read again that changed meanwhile. */
const ROUNDS = 100

/** How often a row is read again that changed between two commands. */
const ROW_ROUNDS = 10

/** Fields of a row that end with the process that looks after it, or belong to the store; and the texts, which stand beside the others. */
const notMoved = new Set(['input', 'output', 'connection', 'claimId', 'leaseUntilMs', 'schema', 'bytes'])

interface LeaveOptions {
  readonly connection: Connection
  readonly prefix: string
  readonly now: () => number
  /** Whose ledger it is. */
  readonly upstream: string
  /** What lies aside for this row. */
  readonly readAside: (id: string) => Promise<string | null>
}

/** Reads it while it may be used: then each entry is as it was when its turn came. */
export async function leavingLedger ({ connection, prefix, now, upstream, readAside }: LeaveOptions): Promise<LeavingLedger> {
  const clockMs = now()
  const ask = async <Answer>(question: (client: RedisClient) => Promise<Answer>): Promise<Answer> => await connection.run(question)
  const hashAt = async (key: string): Promise<Image | null> => {
    const found = await ask(async client => await client.hgetall(prefix + key))
    return Object.keys(found).length === 0 ? null : found
  }
  const [others] = await ask(async client => await client.hmget(prefix + 'glob', 'accounts'))
  const otherAccounts = others == null || others === '' ? [] : others.split(BETWEEN_ACCOUNTS)
  /** The last line of the journal that travels. */
  let lastLine = '0-0'
  let notices = 0

  function isOver ({ endMs }: Image): boolean {
    return endMs !== undefined && integerOf(endMs) <= clockMs
  }

  /** The entries that some keys are, for each key of this kind. */
  async function * of (kind: string, entriesAt: (name: string) => Promise<readonly Entry[]>): AsyncGenerator<Entry> {
    for await (const names of keysOf({ connection, prefix }, kind + ':')) {
      for (let from = 0; from < names.length; from += ROWS) {
        for (const entries of await Promise.all(names.slice(from, from + ROWS).map(entriesAt))) yield * entries
        await setImmediate()
      }
    }
  }

  /** The same of hashes that end, without those that have ended. */
  function ending (kind: string, table: MovedTable, imageOf: (hash: Image, until: { readonly until?: string }, name: string) => Image): AsyncGenerator<Entry> {
    return of(kind, async name => {
      const hash = await hashAt(`${kind}:${name}`)
      return hash === null || isOver(hash) ? [] : [entry(table, name, imageOf(hash, hash['endMs'] === undefined ? {} : { until: hash['endMs'] }, name))]
    })
  }

  /** What is kept of a row, but for texts that stand in its card; or an alias. */
  async function fieldsAt (id: string): Promise<Image | null> {
    const hash = await ask(async client => await client.hgetallBuffer(`${prefix}g:${id}`))
    return Object.keys(hash).length === 0 ? null : unfolded(hash)
  }

  /** A row's hash with its texts, which may stand in its card (see `rows.lua`); an alias as it is. */
  async function wholeAt (id: string): Promise<Image | null> {
    let hash = await fieldsAt(id)
    for (let rounds = 0; rounds < ROW_ROUNDS && hash !== null; rounds += 1) {
      const { target, input, output, bytes = '0' } = hash
      if (target !== undefined || input !== undefined || output !== undefined || bytes === '0') return hash
      const [kept = null] = await ask(async client => await client.mget(`${prefix}c:${id}`))
      const card = cardIn(kept)
      if (card?.texts != null && String(card.bytes) === bytes) {
        return { ...hash, ...(card.texts.input === null ? {} : { input: card.texts.input }), ...(card.texts.output === null ? {} : { output: card.texts.output }) }
      }
      hash = await fieldsAt(id)
    }
    return hash
  }

  async function rowOrAlias (id: string): Promise<readonly Entry[]> {
    const hash = await wholeAt(id)
    if (hash === null || isOver(hash)) return []
    const { tenant = '', subject = '', target, endMs = '0', gaveWay } = hash
    if (target !== undefined) {
      const number = await ask(async client => await client.zscore(`${prefix}la:${tenant} ${subject}`, id))
      return [entry('aliases', id, { tenant, subject, target, number: number ?? '0', endMs, until: endMs, ...(gaveWay === undefined ? {} : { gaveWay }) })]
    }
    const { input, output, duplicateName } = hash
    const image = { ...Object.fromEntries(Object.entries(hash).filter(([name]) => !notMoved.has(name))), ...(input === undefined ? {} : { hasInput: '1' }), ...(output === undefined ? {} : { hasOutput: '1' }) }
    const row: Entry = { table: 'rows', key: id, image, texts: { ...(input === undefined ? {} : { input }), ...(output === undefined ? {} : { output }) } }
    if (duplicateName === undefined || !isDuplicate(hash)) return [row]
    const place = await ask(async client => await client.zscore(`${prefix}o:${duplicateName}`, id))
    return place === null ? [row, entry('passed', id, {})] : [row]
  }

  async function logOf (id: string): Promise<readonly Entry[]> {
    const [lines, hash] = await Promise.all([ask(async client => await client.lrange(`${prefix}log:${id}`, 0, -1)), fieldsAt(id)])
    const logged = hash?.['logged']
    if (lines.length === 0 || logged === undefined) return []
    return [entry('logs', id, { from: String(Math.max(0, integerOf(logged) - lines.length)), lines: JSON.stringify(lines) })]
  }

  async function bookOf (name: string): Promise<readonly Entry[]> {
    const [hash, endMs] = await Promise.all([hashAt(`m:${name}`), ask(async client => await client.pexpiretime(`${prefix}m:${name}`))])
    const at = name.lastIndexOf(':')
    if (hash === null) return []
    const changedAtMs = endMs > 0 ? endMs - ledgerConstants.journalMs : clockMs
    return [entry('books', name, { owner: name.slice(0, at), period: name.slice(at + 1), held: hash['held'] ?? '0', spent: hash['spent'] ?? '0', changedAtMs: String(changedAtMs) })]
  }

  /**
   * All books as they were at one line of the journal, which is the last that travels: what is spent while this is read is in neither, as if it came later. Those that
   * changed while others were read are read again.
   */
  async function books (): Promise<ReadonlyMap<string, Entry>> {
    const found = new Map<string, Entry>()
    const look = async (name: string): Promise<void> => { for (const entry of await bookOf(name)) found.set(name, entry) }
    const [[last] = []] = await ask(async client => await client.xrevrange(prefix + 'j', '+', '-', 'COUNT', 1))
    lastLine = last ?? lastLine
    for await (const names of keysOf({ connection, prefix }, 'm:')) await Promise.all(names.map(look))
    for (let rounds = 0; rounds < ROUNDS; rounds += 1) {
      const lines = await ask(async client => await client.xrange(prefix + 'j', '(' + lastLine, '+', 'COUNT', PAGE))
      const changed = new Set(lines.flatMap(line => accountsIn(listOf(JSON.parse(lineOf(line)['accounts'] ?? '[]'))).map(({ owner, period }) => `${owner}:${period}`)))
      if (changed.size === 0) break
      lastLine = lines.at(-1)?.[0] ?? lastLine
      await Promise.all([...changed].map(look))
    }
    return found
  }

  async function tenantOf (name: string): Promise<readonly Entry[]> {
    const { virtual = '0', weight = '1', maxInFlight = '1', used = '0', beganAtMs = '0', endsAtMs = '0' } = await hashAt(`t:${name}`) ?? {}
    return [entry('tenants', name, { virtual, weight, maxInFlight, used, beganAtMs, endsAtMs })]
  }

  /** A hash of which each field is an entry. */
  async function * fieldsOf (key: string, table: MovedTable, imageOf: (text: string) => Image): AsyncGenerator<Entry> {
    for (const [name, text] of Object.entries(await hashAt(key) ?? {})) yield entry(table, name, imageOf(text))
  }

  async function * lowered (): AsyncGenerator<Entry> {
    const glob = await hashAt('glob') ?? {}
    for (const [name, untilMs] of Object.entries(glob)) {
      const [, account = ''] = /^slotsUntilMs(?: (.*))?$/.exec(name) ?? []
      const slots = glob[account === '' ? 'slots' : `slots ${account}`]
      if (name.startsWith('slotsUntilMs') && slots !== undefined) yield entry('lowered', account, { slots, untilMs })
    }
  }

  /** Stored files, as they stand in `kept.lua`; how many rows refer to each follows from the rows. */
  async function * kept (): AsyncGenerator<Entry> {
    for (let from = '0'; ;) {
      const [next, flat] = await ask(async client => await client.hscan(prefix + 'kept', from, 'COUNT', PAGE))
      for (let at = 0; at + 1 < flat.length; at += 2) {
        const [name = '', file = ''] = flat.slice(at, at + 2)
        const [, bytes = '0', sinceMs = '0', withdrawn] = file.split(' ')
        const [orphanSinceMs, condemnedUntilMs] = await Promise.all(['orphans', 'condemned'].map(async set => await ask(async client => await client.zscore(prefix + set, name))))
        yield entry('kept', name, { bytes, sinceMs, ...(orphanSinceMs == null ? {} : { orphanSinceMs }), ...(condemnedUntilMs == null ? {} : { condemnedUntilMs }), ...(withdrawn === undefined ? {} : { withdrawn: '1' }) })
      }
      if (next === '0') return
      from = next
    }
  }

  async function * asides (): AsyncGenerator<Entry> {
    const names = await ask(async client => await client.zrange(prefix + 'asides', '0', '-1', 'WITHSCORES'))
    for (let at = 0; at + 1 < names.length; at += 2) {
      const [name = '', untilMs = '0'] = names.slice(at, at + 2)
      const [id = '', bytes = '0', sha256 = ''] = name.split(' ')
      if (integerOf(untilMs) <= clockMs) continue
      const output = await readAside(id)
      if (output !== null) yield { table: 'asides', key: name, image: { bytes, sha256, untilMs }, texts: { output } }
    }
  }

  async function * outbox (): AsyncGenerator<Entry> {
    for (let from = 0; ; from += PAGE) {
      const lines = await ask(async client => await client.lrange(prefix + 'outbox', from, from + PAGE - 1))
      for (const line of lines) yield entry('outbox', String(++notices), { notice: noticeOf(line) })
      if (lines.length < PAGE) return
    }
  }

  async function * journal (): AsyncGenerator<Entry> {
    for (let from = '-'; ;) {
      const lines = await ask(async client => await client.xrange(prefix + 'j', from, lastLine, 'COUNT', PAGE))
      for (const line of lines) {
        const [cursor] = line
        const { requestId, assumed, ...told } = lineOf(line)
        yield entry('journal', cursor, {
          ...told,
          cursor,
          atMs: cursor.split('-', 1).join(''),
          ...(requestId === '' || requestId === undefined ? {} : { requestId }),
          ...(assumed === '1' ? { assumed: '1' } : {})
        })
      }
      if (lines.length < PAGE) return
      from = '(' + (lines.at(-1)?.[0] ?? lastLine)
    }
  }

  async function * entries (): AsyncGenerator<Entry> {
    yield * of('t', tenantOf)
    yield * (await books()).values()
    yield * ending('tok', 'tokens', ({ tenant = '', subject = '', secretSha256 = '', origins = '[]', terms = '', expiresAtMs = '0', revoked, pictures = '0', money = '0', heldPictures = '0', heldMoney = '0', spentPictures = '0', spentMoney = '0' }, until) => ({
      tenant, subject, secretSha256, origins, terms, expiresAtMs, picturesLeft: pictures, moneyLeft: money, heldPictures, heldMoney, spentPictures, spentMoney, ...(revoked === undefined ? {} : { revoked }), ...until
    }))
    yield * ending('ticket', 'tickets', ({ tenant = '', subject = '', generation = '', terms = '', endMs = '0' }, until) => ({ tenant, subject, generation, terms, expiresAtMs: endMs, ...until }))
    yield * fieldsOf('breakers', 'breakers', breakerOf)
    yield * fieldsOf('prices', 'prices', rules => ({ rules }))
    yield * fieldsOf('overruns', 'overruns', count => ({ count }))
    yield * ending('once', 'granted', ({ endMs = '0' }) => ({ count: endMs }))
    yield * lowered()
    yield * kept()
    const passed: Entry[] = []
    for await (const one of of('g', rowOrAlias)) {
      if (one.table === 'passed') passed.push(one)
      else yield one
    }
    yield * of('log', logOf)
    yield * ending('n', 'names', ({ id = '', fingerprint }, until) => ({ id, ...(fingerprint === undefined ? {} : { fingerprint }), ...until }))
    yield * ending('e', 'ends', ({ code = '', cost = '0', finishedAtMs = '0', reader }, until, id) => ({ id, code, cost, finishedAtMs, ...(reader === undefined ? {} : { reader }), ...until }))
    yield * passed
    yield * asides()
    yield * outbox()
    yield * journal()
  }

  async function figures (): Promise<Image> {
    const { counter = '0', virtual = '0', askedBeforeMs = '0', askedMs = '0', askLaterMs = '0', journalTrimmed } = await hashAt('glob') ?? {}
    const [lineAtMs = '0', lineNumber = '0'] = lastLine.split('-')
    return {
      upstream,
      otherAccounts: JSON.stringify(otherAccounts),
      counter,
      virtual,
      notices: String(notices),
      askedMs: askedBeforeMs,
      askedLastMs: askedMs,
      askLaterMs,
      lineAtMs,
      lineNumber,
      nowMs: String(clockMs),
      ...(journalTrimmed === undefined ? {} : { isTrimmed: '1' })
    }
  }

  return { identity: { upstream, otherAccounts, clockMs }, entries: entries(), count: await countEntries({ connection, prefix }), figures }
}

/** The fields of a line of the journal. */
function lineOf ([, flat]: readonly [cursor: string, flat: readonly string[]]): Readonly<Record<string, string>> {
  return Object.fromEntries(Array.from({ length: flat.length / 2 }, (_, n) => [flat[2 * n] ?? '', flat[2 * n + 1] ?? '']))
}

/** Kinds of keys that are entries. */
const counted: ReadonlySet<string> = new Set(['t', 'm', 'tok', 'ticket', 'once', 'g', 'log', 'n', 'e'])

/** How many entries there are, about: what is written and forgotten meanwhile is counted or not. */
async function countEntries ({ connection, prefix }: Pick<LeaveOptions, 'connection' | 'prefix'>): Promise<number> {
  let count = 0
  for await (const names of keysOf({ connection, prefix }, '')) count += names.filter(name => counted.has(name.slice(0, name.indexOf(':')))).length
  return count + await connection.run(async client => await client.xlen(prefix + 'j')) + await connection.run(async client => await client.hlen(prefix + 'kept'))
}

function entry (table: MovedTable, key: string, image: Image): Entry {
  return { table, key, image, texts: {} }
}

/** As `isDuplicate` in rows.lua. */
function isDuplicate ({ delivered, joinsTwins, phase, cost }: Image): boolean {
  return (delivered === undefined || joinsTwins !== undefined) && !((phase === 'failed' || phase === 'cancelled') && cost === '0')
}

/** Is it at fal, so that somebody has to look after it at once? */
export function isFollowed ({ phase }: Image): boolean {
  return phases.some(known => known === phase && isAtUpstream(known))
}

function breakerOf (text: string): Image {
  const { state, sinceMs, retryAtMs, failures, metBy, inputs, proved } = recordOf(JSON.parse(text))
  return {
    state: textOf(state),
    sinceMs: textOf(sinceMs),
    retryAtMs: textOf(retryAtMs),
    failures: failures === undefined ? '0' : textOf(failures),
    inputs: JSON.stringify(inputs ?? []),
    ...(metBy === undefined ? {} : { metBy: textOf(metBy) }),
    ...(proved === undefined ? {} : { proved: '1' })
  }
}

/** From the form in which Redis keeps a notice. */
function noticeOf (line: string): string {
  const [id, kind, from, booked] = listOf(JSON.parse(line)).map(textOf)
  return JSON.stringify(kind === 'breaker' ? { kind, scope: id, from, state: booked } : { kind, id, from, booked: integerOf(booked) })
}

/** To that form. */
export function noticeLine (notice: string): string {
  const { kind, id, scope, from, state, booked } = recordOf(JSON.parse(notice))
  return JSON.stringify(kind === 'breaker' ? [scope, kind, from, state] : [id, kind, from, String(booked)])
}
