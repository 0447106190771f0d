// Invariants of the ledger, checked from the rows up. A test calls this after every operation; nothing else needs it.

import { hasSlot, type Account } from '../../generation/generation.ts'
import { ledgerConstants } from '../../generation/ledger-constants.ts'
import { endOf } from '../../generation/log-text.ts'
import { hasMissing } from '../../generation/media.ts'
import { isAtUpstream, statusOf } from '../../generation/phases.ts'
import { accountGauges, accountOf, allAccounts, apart, apartOf, keyOf } from './accounts.ts'
import { isFinal, picturesOf, spentOf } from './books.ts'
import { isTenants } from './breakers.ts'
import { hookPlacesOf } from './hook-places.ts'
import { namesIn } from './kept.ts'
import { rankOf } from './queue.ts'
import { cacheNamesOf, dueOf, followedKeyOf, isDuplicate, keepsInputBytes, requestIdsOf } from './rows.ts'
import { listKeyOf, statusListKeyOf, type State } from './state.ts'

/** One sentence for each broken invariant. */
export function audit (state: State): string[] {
  return [
    ...auditPhases(state),
    ...auditQueue(state),
    ...auditMoney(state),
    ...auditTokens(state),
    ...auditDue(state),
    ...auditFollowed(state),
    ...auditFailed(state), ...auditFiles(state), ...auditKept(state), ...auditHooks(state),
    ...auditNames(state),
    ...auditRequests(state),
    ...auditDuplicates(state),
    ...auditLists(state),
    ...auditLogs(state),
    ...auditBreakers(state),
    ...auditHistory(state)
  ]
}

function auditPhases (state: State): string[] {
  const faults: string[] = []
  for (const { row } of state.rows.values()) {
    if (state.upstream !== null && row.upstream !== null && !allAccounts(state).includes(row.upstream)) faults.push(`${row.id} is bought with ${row.upstream} in a ledger of ${allAccounts(state).join(' and ')}`)
    if (row.phase === 'waiting' && apart(state, row.upstream) !== null) faults.push(`${row.id} waits with the account ${row.upstream}`)
    if (isFinal(row) !== (row.cost !== null)) faults.push(`${row.id} is ${row.phase} and has the cost ${row.cost}`)
    if (isFinal(row) !== (row.finishedAtMs !== null)) faults.push(`${row.id} is ${row.phase} and finished at ${row.finishedAtMs}`)
    if ((row.phase === 'succeeded') !== (row.output !== null || row.large !== null)) faults.push(`${row.id} is ${row.phase} and its output is ${row.output}`)
    if ((row.bases !== null || row.media !== null) && row.phase !== 'succeeded') faults.push(`${row.id} is ${row.phase} and has addresses in its output`)
    if ((row.phase === 'accepted' || row.phase === 'running') && row.requestId === null) faults.push(`${row.id} is ${row.phase} without a request id`)
    if (isAtUpstream(row.phase) && row.runUntilMs === null) faults.push(`${row.id} is ${row.phase} without an end of its run`)
    if (!isAtUpstream(row.phase) && row.owner !== null) faults.push(`${row.id} is ${row.phase} and still has the owner ${row.owner}`)
    if ((row.doubt !== null) !== (row.doubtSinceMs !== null) || (row.doubt !== null && !isAtUpstream(row.phase))) faults.push(`${row.id} is ${row.phase} and in doubt (${row.doubt}) since ${row.doubtSinceMs}`)
    if (!row.corrected && (row.cost ?? 0) > row.price * ledgerConstants.maxOverrun) faults.push(`${row.id} cost ${row.cost}, of which nobody is sure`)
    if (isFinal(row) && Buffer.byteLength(row.input ?? '') > keepsInputBytes(row)) faults.push(`${row.id} is ${row.phase} and keeps a long input`)
    if (row.phase === 'waiting' && row.input === null) faults.push(`${row.id} waits and has no input`)
    if (row.phase === 'waiting' && row.requestId !== null) faults.push(`${row.id} waits and has a request id`)
  }
  return faults
}

function auditQueue (state: State): string[] {
  const faults: string[] = []
  const rows = [...state.rows.values()]
  for (const { upstream, used } of accountGauges(state)) {
    const atUpstream = rows.filter(({ row }) => hasSlot(row) && accountOf(state, row) === upstream)
    if (used !== atUpstream.length) faults.push(`${used} slots of ${upstream} are counted as used, ${atUpstream.length} rows are at fal`)
  }
  const waiting = new Set(rows.filter(({ row }) => row.phase === 'waiting').map(({ row }) => row.id))
  for (const [name, tenant] of state.tenants) {
    const own = rows.filter(({ row }) => row.tenant === name)
    const running = own.filter(({ row }) => hasSlot(row)).length
    const claimable = own.filter(({ row, hidden }) => row.phase === 'waiting' && hidden.retryAtMs === 0)
    const wait = own.filter(({ row }) => row.phase === 'waiting').length
    if (tenant.running !== running) faults.push(`${name} is counted with ${tenant.running} running, ${running} rows are`)
    if (tenant.waiting !== wait) faults.push(`${name} is counted with ${tenant.waiting} waiting, ${wait} rows are`)
    if (tenant.queue.size() !== claimable.length) faults.push(`${name} has ${tenant.queue.size()} in its queue, ${claimable.length} are claimable`)
    for (const entry of claimable) {
      if (tenant.queue.score(entry.row.id) !== rankOf(entry)) faults.push(`${entry.row.id} is not at its rank in the queue of ${name}`)
    }
    const belongs = claimable.length > 0 && running < tenant.maxInFlight
    const score = state.turns.score(name)
    if (belongs !== (score !== undefined)) faults.push(`${name} ${belongs ? 'is not' : 'stands'} in the queue`)
    if (score !== undefined && score !== tenant.virtual) faults.push(`${name} stands in the queue at ${score}, its virtual time is ${tenant.virtual}`)
  }
  for (const [tenant] of state.turns.entries()) {
    if (!state.tenants.has(tenant)) faults.push(`${tenant} stands in the queue and is not known`)
  }
  for (const [id, retryAtMs] of state.later.entries()) {
    if (!waiting.has(id) || state.rows.get(id)?.hidden.retryAtMs !== retryAtMs) faults.push(`${id} pauses until ${retryAtMs} and should not`)
  }
  for (const [claimId, id] of state.claims) {
    const entry = state.rows.get(id)
    if (entry?.row.phase !== 'submitting' || entry.hidden.claimId !== claimId) faults.push(`claim ${claimId} leads to ${id}, which is not its`)
  }
  return faults
}

function auditMoney (state: State): string[] {
  const faults: string[] = []
  const held = new Map<string, number>()
  const open = new Map<string, number>()
  const journal = new Map<string, number>()
  for (const { row } of state.rows.values()) {
    for (const account of row.accounts) {
      if (!isFinal(row)) add(held, account, row.price)
      if (row.phase === 'unknown') add(open, account, row.price)
    }
  }
  for (const line of state.journal) {
    for (const account of line.accounts) add(journal, account, line.amount)
  }
  for (const key of new Set([...held.keys(), ...state.books.keys(), ...journal.keys()])) {
    const book = state.books.get(key) ?? { held: 0, spent: 0 }
    if (book.held !== (held.get(key) ?? 0)) faults.push(`${key} holds ${book.held}, open rows are worth ${held.get(key) ?? 0}`)
    if (book.held < 0 || book.spent < 0) faults.push(`${key} is below nothing`)
    if (!Number.isSafeInteger(book.held + book.spent)) faults.push(`${key} does not hold whole micro-dollars`)
    const explained = journal.get(key) ?? 0
    const booked = book.spent + (open.get(key) ?? 0)
    if (!state.journalTrimmed && explained !== booked) faults.push(`the journal explains ${explained} of ${key}, booked are ${booked}`)
  }
  return faults
}

function auditTokens (state: State): string[] {
  const faults: string[] = []
  for (const [id, token] of state.tokens.entries()) {
    const own = [...state.rows.values()].filter(({ row }) => row.token === id)
    const open = own.filter(({ row }) => !isFinal(row))
    const price = open.reduce((sum, { row }) => sum + row.price, 0)
    const files = open.reduce((sum, { row }) => sum + row.files, 0)
    // Rows that are forgotten by now have spent on it, too.
    const spent = own.reduce((sum, { row }) => sum + spentOf(row), 0)
    const made = own.reduce((sum, { row }) => sum + picturesOf(row), 0)
    if (token.heldPictures !== files) faults.push(`token ${id} holds ${token.heldPictures} pictures, open rows may make ${files}`)
    if (token.heldMoney !== price) faults.push(`token ${id} holds ${token.heldMoney}, open rows are worth ${price}`)
    if (token.spentPictures < made) faults.push(`token ${id} has spent ${token.spentPictures} pictures, its rows made ${made}`)
    if (token.spentMoney < spent) faults.push(`token ${id} has spent ${token.spentMoney}, its rows cost ${spent}`)
  }
  return faults
}

function auditDue (state: State): string[] {
  const faults: string[] = []
  let count = 0
  for (const entry of state.rows.values()) {
    const { id, phase } = entry.row
    const expected = dueOf(state, entry) ?? undefined
    if (expected !== undefined && state.due.get(keyOf(apartOf(state, entry)))?.has(id, expected) !== true) faults.push(`${id} is ${phase} and not due at ${expected}`)
    if (expected !== undefined) count += 1
    if ((state.unknown.score(id) !== undefined) !== (phase === 'unknown')) faults.push(`${id} is ${phase} and ${phase === 'unknown' ? 'not ' : ''}among the unknowns`)
  }
  if (state.oldest.size() !== state.unknown.size()) faults.push(`${state.unknown.size()} are unknown, of ${state.oldest.size()} it is known when they were admitted`)
  const due = [...state.due.values()].flatMap(ids => [...ids.entries()])
  if (due.length !== count) faults.push(`${count} rows are due, ${due.length} are listed so`)
  for (const [id] of [...due, ...state.unknown.entries(), ...state.oldest.entries()]) {
    if (!state.rows.has(id)) faults.push(`${id} is due or unknown and has no row`)
  }
  return faults
}

function auditFollowed (state: State): string[] {
  const faults: string[] = []
  let followed = 0
  for (const entry of state.rows.values()) {
    const { row } = entry
    const isSo = isAtUpstream(row.phase) && row.requestId !== null && row.owner !== null && row.takeovers < ledgerConstants.maxEarlyTakeovers
    if (!isSo) continue
    followed += 1
    if (state.followed.get(followedKeyOf(apartOf(state, entry), row.owner ?? ''))?.score(row.id) === undefined) faults.push(`${row.id} is not among what ${row.owner} follows`)
  }
  const listed = [...state.followed.values()].reduce((sum, ids) => sum + ids.size(), 0)
  if (listed !== followed) faults.push(`${followed} rows are followed, ${listed} are listed so`)
  return faults
}

function auditFailed (state: State): string[] {
  const failed = [...state.rows.values()].filter(({ row }) => row.phase === 'failed')
  const faults = failed.flatMap(({ row: { id, finishedAtMs } }) => state.failed.score(id) === (finishedAtMs ?? 0) ? [] : [`${id} has failed and is not among those that did`])
  return failed.length === state.failed.size() ? faults : [...faults, `${failed.length} rows have failed, ${state.failed.size()} are listed so`]
}

function auditFiles (state: State): string[] {
  const entries = [...state.rows.values()]
  const faults = entries.flatMap(({ row, hidden: { filesAtMs } }) => {
    const isMissing = row.phase === 'succeeded' && hasMissing(row.media)
    return isMissing === (filesAtMs !== null) && (state.files.score(row.id) ?? null) === filesAtMs ? [] : [`${row.id} has files that are due at ${filesAtMs}, and stands at ${state.files.score(row.id)}`]
  })
  const due = entries.filter(({ hidden }) => hidden.filesAtMs !== null).length
  return due === state.files.size() ? faults : [...faults, `${due} rows have files to be stored, ${state.files.size()} are listed so`]
}

function auditKept (state: State): string[] {
  const faults: string[] = []
  const referring = new Map<string, number>()
  for (const { row } of state.rows.values()) for (const name of namesIn(row.media)) referring.set(name, (referring.get(name) ?? 0) + 1)
  let [bytes, orphans, condemned] = [0, 0, 0]
  for (const name of new Set([...state.kept.keys(), ...referring.keys()])) {
    const file = state.kept.get(name)
    if ((file?.rows ?? 0) !== (referring.get(name) ?? 0)) faults.push(`${file?.rows ?? 0} rows are counted that refer to ${name}, ${referring.get(name) ?? 0} do`)
    if (file === undefined) continue
    const [sinceMs, untilMs] = [state.orphans.score(name) ?? null, state.condemned.score(name) ?? null]
    if (sinceMs !== file.orphanSinceMs || untilMs !== file.condemnedUntilMs) faults.push(`${name} does not stand where it should`)
    if ((sinceMs !== null) !== (file.rows === 0 && untilMs === null && !file.withdrawn)) faults.push(`${name} has ${file.rows} references and is an orphan since ${sinceMs}`)
    bytes += file.bytes
    if (sinceMs !== null) orphans += 1
    if (untilMs !== null) condemned += 1
  }
  if (bytes !== state.keptBytes) faults.push(`stored files have ${bytes} bytes, counted are ${state.keptBytes}`)
  if (orphans !== state.orphans.size() || condemned !== state.condemned.size()) faults.push(`${orphans} files are orphans and ${condemned} condemned, listed are ${state.orphans.size()} and ${state.condemned.size()}`)
  return faults
}

function auditHooks (state: State): string[] {
  const faults: string[] = []
  const stands = new Map<string, number>()
  const [untold, givenUp] = [new Map(state.untold.entries()), new Map(state.givenUp.entries())]
  for (const entry of state.rows.values()) {
    const { row: { id } } = entry
    const is = hookPlacesOf(entry)
    if ((untold.get(id) ?? null) !== is.sinceMs) faults.push(`${id} has somebody to tell since ${is.sinceMs} and stands at ${untold.get(id)}`)
    if ((givenUp.get(id) ?? null) !== is.givenUpMs) faults.push(`${id} has given somebody up at ${is.givenUpMs} and stands at ${givenUp.get(id)}`)
    for (const [tenant, atMs] of is.due) stands.set(`${tenant} ${id}`, atMs)
    untold.delete(id)
    givenUp.delete(id)
  }
  for (const id of [...untold.keys(), ...givenUp.keys()]) faults.push(`${id} has webhooks and has no row`)
  const turns = new Map(state.hookTurns.entries())
  for (const [tenant, ids] of state.hooks) {
    const [[, first] = []] = ids.entries()
    if (turns.get(tenant) !== first) faults.push(`the first webhook of ${tenant} is due at ${first} and stands at ${turns.get(tenant)}`)
    turns.delete(tenant)
    for (const [id, atMs] of ids.entries()) {
      if (stands.get(`${tenant} ${id}`) !== atMs) faults.push(`${id} is due to be told to ${tenant} at ${atMs} instead of ${stands.get(`${tenant} ${id}`)}`)
      stands.delete(`${tenant} ${id}`)
    }
  }
  for (const name of stands.keys()) faults.push(`${name} is not due to be told`)
  for (const tenant of turns.keys()) faults.push(`${tenant} stands in the line of webhooks and has none`)
  return faults
}

function auditNames (state: State): string[] {
  const faults: string[] = []
  const leads = new Map(state.names.entries())
  for (const [name, { id, fingerprint }] of leads) {
    if (fingerprint !== null) {
      const target = state.rows.get(state.aliases.get(id)?.target ?? id)
      if (target !== undefined && target.hidden.keyedUntilMs <= state.now()) faults.push(`idempotency name ${name} leads to ${id}, whose end would not be kept`)
      continue
    }
    const entry = state.rows.get(id)
    if (entry === undefined) faults.push(`cache name ${name} leads to ${id}, which has no row`)
    else if (entry.row.large !== null) faults.push(`cache name ${name} leads to ${id}, whose output lies aside`)
    else if (!cacheNamesOf(entry.hidden).includes(name)) faults.push(`cache name ${name} leads to ${id}, which does not know it`)
    else if (entry.hidden.cacheName !== name && entry.row.phase !== 'succeeded') faults.push(`cache name ${name} leads to ${id}, which was not asked for under it and is ${entry.row.phase}`)
  }
  for (const [id, alias] of state.aliases.entries()) {
    if (state.rows.has(id)) faults.push(`${id} is a row and an alias`)
    const target = state.rows.get(alias.target)?.row
    if (target !== undefined && !alias.gaveWay && target.tenant === alias.tenant && target.subject === alias.subject) faults.push(`alias ${id} leads to its own reader's row`)
  }
  return faults
}

function auditRequests (state: State): string[] {
  const faults: string[] = []
  for (const entry of state.rows.values()) {
    for (const requestId of requestIdsOf(entry)) {
      const id = state.requests.get(requestId)
      if (id !== entry.row.id) faults.push(`request ${requestId} of ${entry.row.id} leads to ${id}`)
    }
  }
  for (const [requestId, id] of state.requests.entries()) {
    const entry = state.rows.get(id)
    if (entry === undefined || !requestIdsOf(entry).includes(requestId)) faults.push(`request ${requestId} leads to ${id}, which does not know it`)
  }
  return faults
}

function auditDuplicates (state: State): string[] {
  const faults: string[] = []
  for (const [name, ids] of state.duplicates) {
    if (ids.size() === 0) faults.push(`the duplicates of ${name} are an empty set`)
    for (const [id, number] of ids.entries()) {
      const entry = state.rows.get(id)
      if (entry === undefined || !isDuplicate(entry) || entry.hidden.duplicateName !== name || entry.hidden.number !== number) faults.push(`${id} is among the duplicates of ${name}`)
    }
  }
  for (const entry of state.rows.values()) {
    const { duplicateName } = entry.hidden
    if (duplicateName === null || entry.row.delivered || !isDuplicate(entry) || isFinal(entry.row) || state.passedDuplicates.has(entry.row.id)) continue
    if (state.duplicates.get(duplicateName)?.score(entry.row.id) === undefined) faults.push(`${entry.row.id} is not among the duplicates of ${duplicateName}`)
  }
  return faults
}

function auditLists (state: State): string[] {
  const faults: string[] = []
  for (const { row, hidden } of state.rows.values()) {
    if (state.lists.get(listKeyOf(row))?.has(row.id, hidden.number) !== true) faults.push(`${row.id} is not in the list of its reader`)
    if (state.listsByStatus.get(statusListKeyOf(row, statusOf(row.phase)))?.has(row.id, hidden.number) !== true) faults.push(`${row.id} is not in the list of its reader by status`)
  }
  for (const [id, alias] of state.aliases.entries()) {
    const listed = state.aliasLists.get(listKeyOf(alias))?.score(id)
    if (listed !== alias.number && state.rows.has(alias.target)) faults.push(`alias ${id} is not in the list of its reader`)
  }
  for (const lists of [state.lists, state.listsByStatus]) {
    const listed = [...lists.values()].reduce((sum, ids) => sum + ids.size(), 0)
    if (listed !== state.rows.size) faults.push(`${state.rows.size} rows are listed ${listed} times`)
  }
  for (const [reader, ids] of [...state.lists, ...state.listsByStatus, ...state.aliasLists]) {
    if (ids.size() === 0) faults.push(`the list of ${reader} is an empty set`)
  }
  return faults
}

function auditLogs (state: State): string[] {
  return [...state.logs].flatMap(([id, log]) => {
    const told = state.rows.get(id)?.row.logged
    return told === endOf(log) ? [] : [`log lines up to ${endOf(log)} of ${id} are kept, told were ${told}`]
  })
}

function auditBreakers (state: State): string[] {
  const ofTenants = [...state.breakers.values()].filter(({ scope }) => isTenants(scope))
  const kept = ofTenants.filter(breaker => breaker.state === 'ok' && breaker.failures === 0).map(({ scope }) => `the breaker of ${scope} is ok and kept`)
  if (ofTenants.length > ledgerConstants.maxTenantBreakers) kept.push(`${ofTenants.length} breakers of tenants are kept`)
  return [...kept, ...auditProbes(state)]
}

function auditProbes (state: State): string[] {
  return [...state.breakers.values()].flatMap(({ scope, state: word, probe }) => {
    if (probe === null) return []
    if (word === 'price-unsure') return [`the price of ${scope} is unsure, and ${probe} is its probe`]
    const phase = state.rows.get(probe)?.row.phase
    const tries = phase === 'waiting' || (phase !== undefined && isAtUpstream(phase))
    return word !== 'ok' && tries ? [] : [`the breaker of ${scope} is ${word} and waits for the probe ${probe}, which is ${phase ?? 'gone'}`]
  })
}

function add (sums: Map<string, number>, { owner, period }: Account, amount: number): void {
  const key = owner + ':' + period
  sums.set(key, (sums.get(key) ?? 0) + amount)
}

function auditHistory ({ held, awaited }: State): string[] {
  return (held !== null) === (awaited.size > 0) ? [] : [`claims are ${held === null ? 'not held back' : `held back until ${held.untilMs}`} and ${awaited.size} replicas awaited`]
}
