// Rows: written, changed and forgotten in one place, which keeps every structure that follows from a row, books money and tells listeners.

import type { Change } from '../../generation/changes.ts'
import { hasSlot, type Brief, type Hidden, type Reader, type Generation } from '../../generation/generation.ts'
import { ledgerConstants } from '../../generation/ledger-constants.ts'
import { isAtUpstream, moves, statusOf } from '../../generation/phases.ts'
import { apartOf, keyOf } from './accounts.ts'
import { book, hold, isCalledOff, isFinal, isUnbilledEnd } from './books.ts'
import { freeProbe, leaveAccount } from './breakers.ts'
import type { Entry } from './entry.ts'
import { indexHooks, keptForHooksMs, unindexHooks } from './hook-places.ts'
import { forgetReferences, refer, settleKept } from './kept.ts'
import { isQueueEmpty, positionOf, rankOf, updateTurn } from './queue.ts'
import type { SortedSet } from './sorted-set.ts'
import { addTo, dropFrom, dropRanked, enlist, listKeyOf, rankIn, statusListKeyOf, tenantOf, type Alias, type State } from './state.ts'
import { textBytes } from './texts.ts'

/** A row that gave way to another may do so to one that gave way itself, but not without end. */
const MAX_HOPS = 5

/** Writes a new row. */
export function insert (state: State, entry: Entry): void {
  entry.row = shedInput(entry.row)
  state.rows.set(entry.row.id, entry)
  rankIn(state.lists, listKeyOf(entry.row), entry.row.id, entry.hidden.number)
  index(state, entry)
  refer(state, entry.row.id, null, entry.row.media)
  state.note('rows', entry.row.id)
  if (!isFinal(entry.row)) hold(state, entry.row, 1)
  book(state, null, entry.row)
  updateTurn(state, entry.row.tenant)
  publish(state, entry)
}

/** Changes a row: its version rises by one, structures and money follow, listeners are told. */
export function change (state: State, entry: Entry, row: Partial<Generation>, hidden: Partial<Hidden> = {}): void {
  const before = entry.row
  const isBack = row.phase === 'waiting' && before.phase !== 'waiting'
  const after = { ...before, ...row, ...isBack ? { waitsSinceMs: state.now() } : {}, version: before.version + 1 }
  const isFound = entry.hidden.settled && before.phase === 'failed' && after.phase === 'succeeded'
  if (after.phase !== before.phase && !moves[before.phase].includes(after.phase) && !isFound) {
    throw new Error(`The ledger was about to move generation ${before.id} from ${before.phase} to ${after.phase}.`)
  }
  replace(state, entry, after, hidden)
}

/** Changes a row to whatever a replica proved it to be (rule 16), legal move or not. */
export function replace (state: State, entry: Entry, after: Generation, hidden: Partial<Hidden>): void {
  const before = entry.row
  const account = apartOf(state, entry)
  unindex(state, entry)
  // What was passed over among duplicates is one of them again when it moves.
  if (after.phase !== before.phase && (before.phase === 'unknown' || before.cancelWished)) state.passedDuplicates.delete(before.id)
  entry.row = shedInput(after)
  entry.hidden = { ...entry.hidden, ...hidden }
  state.rows.set(before.id, entry)
  index(state, entry)
  refer(state, before.id, before.media, entry.row.media)
  state.note('rows', before.id)
  holdOtherwise(state, before, entry.row)
  noteAccount(state, entry, account)
  book(state, before, after)
  if (!isAtUpstream(after.phase) && after.phase !== 'waiting') freeProbe(state, after)
  if (after.large !== null) unname(state, entry)
  updateTurn(state, after.tenant)
  publish(state, entry)
}

/** Changes what callers cannot see: neither version nor listeners. */
export function adjust (state: State, entry: Entry, hidden: Partial<Hidden>): void {
  unindex(state, entry)
  entry.hidden = { ...entry.hidden, ...hidden }
  index(state, entry)
  state.note('rows', entry.row.id)
  updateTurn(state, entry.row.tenant)
}

/** Lengthens or ends the lease. Nobody is told, and it is not noted: no lease outlives the process that keeps the ledger. */
export function lease (state: State, entry: Entry, leaseUntilMs: number): void {
  unindex(state, entry)
  entry.hidden = { ...entry.hidden, leaseUntilMs }
  index(state, entry)
}

/** Puts a text, or its place, where the other stands. It is the same row for everybody. */
export function putTexts (entry: Entry, texts: Partial<Pick<Generation, 'input' | 'output'>>): void {
  entry.row = { ...entry.row, ...texts }
}

/** Notes that an answer reached its caller. Nobody is told, and no reader sees it. */
export function deliver (state: State, entry: Entry): void {
  unindex(state, entry)
  entry.row = { ...entry.row, delivered: true }
  index(state, entry)
  state.note('rows', entry.row.id)
}

/** Writes with which account it is bought. Nobody who waits for it sees that. */
export function assign (state: State, entry: Entry, upstream: string | null): void {
  const account = apartOf(state, entry)
  unindex(state, entry)
  entry.row = { ...entry.row, upstream }
  index(state, entry)
  state.note('rows', entry.row.id)
  noteAccount(state, entry, account)
}

/** Forgets an ended row, and the cache names that lead to it. While an idempotency name still does, its end is kept: that name must not buy again. */
export function forget (state: State, entry: Entry): void {
  const { id } = entry.row
  keepEnd(state, entry)
  buryEarly(state, entry)
  unindex(state, entry)
  refer(state, id, entry.row.media, null)
  state.rows.delete(id)
  state.note('rows', id)
  state.logs.delete(id)
  state.passedDuplicates.delete(id)
  dropRanked(state.lists, listKeyOf(entry.row), id, entry.hidden.number)
  unname(state, entry)
}

/** Tells all processes that have something of a row that was forgotten on its reader's word. */
export function tellErased (state: State, { row }: Entry): void {
  if (state.listeners.size === 0) return
  const { id, version, phase, cancelWished, queuePosition, startedAtMs, doubtSinceMs, logged } = row
  state.tell({ id, version: version + 1, phase, cancelWished, queuePosition, startedAtMs, doubtSinceMs, logged, isQueueEmpty: true, isErased: true })
}

/** A replica that reported its end a moment ago would take a row that goes before its time for one that the store has lost. */
function buryEarly (state: State, { row: { id, version, requestId, finishedAtMs } }: Entry): void {
  if ((finishedAtMs ?? 0) + state.times.resultTtlMs > state.now()) state.tombstones.set(id, { version, requestId }, state.now() + ledgerConstants.tombstoneMs)
}

/** The cache names that may lead to a row. */
export function cacheNamesOf ({ cacheName, learnedName, reuseName }: Hidden): string[] {
  return [cacheName, learnedName, reuseName].filter(name => name !== null)
}

/** Frees the cache names that lead to a row. */
function unname (state: State, { row, hidden }: Entry): void {
  for (const name of cacheNamesOf(hidden)) {
    if (leadsTo(state, name, row.id)) state.names.delete(name)
  }
}

function keepEnd (state: State, { row, hidden }: Entry): void {
  if (hidden.keyedUntilMs <= state.now() || isUnbilledEnd(row) || isCalledOff(row)) return
  const code = row.phase === 'succeeded' ? 'result-expired' : row.failure?.code ?? 'cancelled'
  state.ends.set(row.id, { id: row.id, code, cost: row.cost ?? 0, finishedAtMs: row.finishedAtMs ?? 0, reader: null }, hidden.keyedUntilMs)
}

/** The row as it is handed out under its own id. */
export function show (state: State, entry: Entry): Generation {
  const { row, hidden } = entry
  return {
    ...row,
    stored: !hidden.linksDead && cacheNamesOf(hidden).some(name => leadsTo(state, name, row.id)),
    queuePosition: row.phase === 'waiting' ? positionOf(state, entry) : row.queuePosition
  }
}

/** A row without what may be long of it. */
export function briefOf (row: Generation): Brief {
  const { input, output, ...brief } = row
  return brief
}

/** What changes about the row while somebody waits for it. */
export function changeOf (state: State, entry: Entry): Change {
  const { id, version, phase, cancelWished, queuePosition, startedAtMs, doubtSinceMs, logged } = entry.row
  return { id, version, phase, cancelWished, queuePosition: phase === 'waiting' ? positionOf(state, entry) : queuePosition, startedAtMs, doubtSinceMs, logged }
}

/** The row as the holder of an alias sees it: under the alias' id and name, without the buyer's accounts, token and socket. */
export function showAlias (state: State, id: string, alias: Reader, entry: Entry): Generation {
  return { ...show(state, entry), id, tenant: alias.tenant, subject: alias.subject, accounts: [], token: null, connection: null }
}

/** An alias lives as long as a generation born now could. */
export function aliasEndMs ({ now, times: { queueMs, runMs, resultTtlMs } }: State): number {
  return now() + queueMs + runMs + resultTtlMs
}

/**
 * Makes a row that was never granted an attempt an alias of another one, which has its name by now: it leaves the queue, its money and its place in the rate
 * are given back, and callers that wait for it are told how the other stands.
 */
export function giveWay (state: State, entry: Entry, to: Entry): void {
  const { row, hidden } = entry
  const { id, tenant, subject } = row
  freeProbe(state, row)
  unindex(state, entry)
  hold(state, row, -1)
  state.rows.delete(id)
  state.note('rows', id)
  dropRanked(state.lists, listKeyOf(row), id, hidden.number)
  unname(state, entry)
  const endMs = Math.max(aliasEndMs(state), hidden.keyedUntilMs)
  state.aliases.set(id, { tenant, subject, target: to.row.id, number: hidden.number, endMs, gaveWay: true }, endMs)
  enlist(state.aliasLists, row, id, hidden.number)
  const known = tenantOf(state, tenant)
  const { used, beganAtMs, endsAtMs } = known.window
  if (used > 0 && row.createdAtMs >= beganAtMs && state.now() < endsAtMs) known.window = { used: used - 1, beganAtMs, endsAtMs }
  state.note('tenants', tenant)
  updateTurn(state, tenant)
  publish(state, to, id)
}

/** The row that this id leads to, its own or the one that it gave way to. */
export function resolve (state: State, id: string): Entry | undefined {
  let at = id
  for (let hops = 0; hops < MAX_HOPS; hops += 1) {
    const own = state.rows.get(at)
    const alias = state.aliases.get(at)
    if (own !== undefined || alias === undefined || !alias.gaveWay) return own
    at = alias.target
  }
  return undefined
}

/** The id of the row that this one leads to or led to, through however many aliases. */
export function targetOf (state: State, id: string): string {
  let at = id
  for (let hops = 0; hops < MAX_HOPS; hops += 1) {
    const alias = state.aliases.get(at)
    if (alias === undefined) break
    at = alias.target
  }
  return at
}

/** What an id leads to, own or through an alias, as its reader sees it. */
export function findById (state: State, id: string): { readonly entry: Entry, readonly alias: Alias | null, readonly row: Generation } | null {
  const own = state.rows.get(id)
  if (own !== undefined) return { entry: own, alias: null, row: show(state, own) }
  const alias = state.aliases.get(id)
  const target = alias === undefined ? undefined : resolve(state, alias.target)
  return alias === undefined || target === undefined ? null : { entry: target, alias, row: showAlias(state, id, alias, target) }
}

/** Puts a row into the structures that its phase calls for. */
function index (state: State, entry: Entry, isPacked = false): void {
  const { row, hidden } = entry
  const tenant = tenantOf(state, row.tenant)
  if (row.phase === 'waiting') {
    tenant.waiting += 1
    if (hidden.retryAtMs > 0) state.later.set(row.id, hidden.retryAtMs)
    else tenant.queue.set(row.id, rankOf(entry))
  } else if (hasSlot(row)) {
    tenant.running += 1
    countSlot(state, entry, 1)
  }
  rankIn(state.listsByStatus, statusListKeyOf(row, statusOf(row.phase)), row.id, hidden.number)
  if (row.phase === 'submitting' && hidden.claimId !== null) state.claims.set(hidden.claimId, row.id)
  const { requestId } = row
  if (requestId !== null) {
    if (isPacked) state.requests.putFolded(requestId, row.id)
    else state.requests.set(requestId, row.id)
  }
  for (const double of hidden.doubles) state.requests.set(double.requestId, row.id)
  if (row.phase === 'unknown') {
    state.unknown.set(row.id, hidden.unknownSinceMs)
    state.oldest.set(row.id, row.createdAtMs)
  }
  const due = dueOf(state, entry)
  const account = apartOf(state, entry)
  if (due !== null) rankIn(state.due, keyOf(account), row.id, due)
  const follower = followerOf(row)
  if (follower !== null) addTo(state.followed, followedKeyOf(account, follower), row.id, 0)
  if (row.phase === 'failed') state.failed.set(row.id, row.finishedAtMs ?? 0)
  if (hidden.filesAtMs !== null) state.files.set(row.id, hidden.filesAtMs)
  if (hidden.hooks.length > 0) indexHooks(state, entry)
  if (hidden.duplicateName !== null && isDuplicate(entry) && !state.passedDuplicates.has(row.id)) addTo(state.duplicates, hidden.duplicateName, row.id, hidden.number)
}

/** What is held for a row follows it. */
function holdOtherwise (state: State, before: Generation, after: Generation): void {
  const isSame = before.accounts === after.accounts && before.price === after.price && before.files === after.files && before.token === after.token
  if (isSame && isFinal(before) === isFinal(after)) return
  if (!isFinal(before)) hold(state, before, -1)
  if (!isFinal(after)) hold(state, after, 1)
}

/** Makes what follows from a row that was put back from elsewhere, packed or not. Nothing is booked. */
export function enter (state: State, entry: Entry, isPacked = false): void {
  rankIn(state.lists, listKeyOf(entry.row), entry.row.id, entry.hidden.number)
  index(state, entry, isPacked)
  refer(state, entry.row.id, null, entry.row.media)
}

/** Takes that away again. */
export function leave (state: State, entry: Entry): void {
  dropRanked(state.lists, listKeyOf(entry.row), entry.row.id, entry.hidden.number)
  unindex(state, entry)
  refer(state, entry.row.id, entry.row.media, null)
}

/** Makes what follows from everything else that was put back from elsewhere; nothing of it is there yet. */
export function indexRest (state: State): void {
  for (const id of state.passedDuplicates.keys()) {
    const duplicateName = state.rows.look(id)?.hidden.duplicateName ?? null
    if (duplicateName !== null) dropFrom(state.duplicates, duplicateName, id)
  }
  for (const [id, alias] of state.aliases.entries()) enlist(state.aliasLists, alias, id, alias.number)
  for (const [id, { token }] of state.tokens.entries()) if (!token.revoked) addTo(state.liveTokens, token.tenant, id, token.expiresAtMs)
  for (const tenant of state.tenants.keys()) updateTurn(state, tenant)
  settleKept(state)
}

/** Makes again, in place of what is there, all that follows from rows and that no other entry tells. */
export function indexAnew (state: State): void {
  for (const structure of [state.lists, state.listsByStatus, state.due, state.followed, state.duplicates, state.claims, state.requests, state.active, state.hooks, state.liveTokens, state.aliasLists]) structure.clear()
  for (const set of [state.failed, state.files, state.later, state.turns, state.unknown, state.oldest, state.hookTurns, state.untold, state.givenUp]) empty(set)
  for (const tenant of state.tenants.values()) {
    tenant.running = 0
    tenant.waiting = 0
    empty(tenant.queue)
  }
  forgetReferences(state)
  for (const entry of state.rows.values()) enter(state, entry)
  indexRest(state)
}

function empty (set: SortedSet): void {
  for (const [member] of set.entries()) set.delete(member)
}

/** Has it left the account in whose sets it stood? */
function noteAccount (state: State, entry: Entry, before: string | null): void {
  if (before !== null && before !== apartOf(state, entry)) leaveAccount(state, entry.row.id, before)
}

function countSlot (state: State, entry: Entry, difference: 1 | -1): void {
  const key = keyOf(apartOf(state, entry))
  state.active.set(key, (state.active.get(key) ?? 0) + difference)
}

/** Where it stands what this replica follows with an account, that of `apartOf`. No account's name holds a line break. */
export function followedKeyOf (account: string | null, replica: string): string {
  return keyOf(account) + '\n' + replica
}

/** Takes a row out of every structure that {@link index} put it into. */
function unindex (state: State, entry: Entry): void {
  const { row, hidden } = entry
  const tenant = tenantOf(state, row.tenant)
  if (row.phase === 'waiting') {
    tenant.waiting -= 1
    state.later.delete(row.id)
    tenant.queue.delete(row.id)
  } else if (hasSlot(row)) {
    tenant.running -= 1
    countSlot(state, entry, -1)
  }
  dropRanked(state.listsByStatus, statusListKeyOf(row, statusOf(row.phase)), row.id, hidden.number)
  if (row.phase === 'submitting' && hidden.claimId !== null) state.claims.delete(hidden.claimId)
  for (const requestId of requestIdsOf(entry)) state.requests.delete(requestId)
  state.unknown.delete(row.id)
  state.oldest.delete(row.id)
  const account = apartOf(state, entry)
  const due = dueOf(state, entry)
  if (due !== null) dropRanked(state.due, keyOf(account), row.id, due)
  const follower = followerOf(row)
  if (follower !== null) dropFrom(state.followed, followedKeyOf(account, follower), row.id)
  state.failed.delete(row.id)
  state.files.delete(row.id)
  if (hidden.hooks.length > 0) unindexHooks(state, entry)
  if (hidden.duplicateName !== null) dropFrom(state.duplicates, hidden.duplicateName, row.id)
}

/** May an equal request find it among its duplicates? */
export function isDuplicate ({ row, hidden }: Entry): boolean {
  return (!row.delivered || hidden.joinsTwins) && !isUnbilledEnd(row)
}

/** The ids under which fal knows this generation's purchases: usually one. */
export function requestIdsOf ({ row, hidden }: Entry): string[] {
  return [...row.requestId === null ? [] : [row.requestId], ...hidden.doubles.map(({ requestId }) => requestId)]
}

/** When a row has to be looked after; null: an `unknown` that nobody asks about. */
export function dueOf (state: State, entry: Entry): number | null {
  const { row, hidden } = entry
  if (row.phase === 'waiting') return row.waitUntilMs
  if (row.phase === 'unknown') return hidden.askAtMs
  if (!isFinal(row)) return hidden.leaseUntilMs
  const keptMs = keptUntilMs(state, row)
  const untilMs = hidden.hooks.length === 0 ? keptMs : Math.max(keptMs, keptForHooksMs(entry) ?? 0)
  return hidden.settled ? Math.min(untilMs, hidden.askAtMs ?? Infinity) : untilMs
}

/**
 * The replica that looks after it, when another one may go on with it before its lease runs out: that only follows what fal has accepted, so that a wrong guess
 * costs no money. Else null.
 */
export function followerOf ({ phase, requestId, owner, takeovers }: Generation): string | null {
  return isAtUpstream(phase) && requestId !== null && takeovers < ledgerConstants.maxEarlyTakeovers ? owner : null
}

/** Until when an ended row is kept. */
export function keptUntilMs (state: State, row: Generation): number {
  const { resultTtlMs } = state.times
  return (row.finishedAtMs ?? 0) + (isUnbilledEnd(row) ? Math.min(resultTtlMs, ledgerConstants.unspentMs) : resultTtlMs)
}

/** The longest input that an ended row keeps, in bytes. */
export function keepsInputBytes (row: Generation): number {
  return isUnbilledEnd(row) ? ledgerConstants.maxUnspentInputBytes : ledgerConstants.maxEndedInputBytes
}

/** The row without its input, once it has ended with one that is too long to be kept. */
function shedInput (row: Generation): Generation {
  return isFinal(row) && row.input !== null && textBytes(row.input) > keepsInputBytes(row) ? { ...row, input: null } : row
}

function leadsTo (state: State, name: string, id: string): boolean {
  return state.names.get(name)?.id === id
}

/** Tells listeners once the operation is over, so that what they do next sees it whole. `id`: what those know it by whom it concerns. */
function publish (state: State, entry: Entry, id = entry.row.id): void {
  if (state.listeners.size === 0) return
  // A generation that keeps its slot at fal lets nobody else in.
  state.tell({ ...changeOf(state, entry), id, isQueueEmpty: hasSlot(entry.row) || isQueueEmpty(state) })
}
