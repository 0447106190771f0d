// Admission of one request or a list: free answers first, then refusals, in the order of rule 12; only then something is written.

import { hash } from 'node:crypto'
import type { Admission, Admitted, AdmittedAll, ClaimOffer, DuplicateQuestion, Foreseen, Got, Preview, RateState, Refused } from '../../generation/admission.ts'
import { beginRow, termsOf, type Reader, type Generation } from '../../generation/generation.ts'
import { ledgerConstants } from '../../generation/ledger-constants.ts'
import { isAtUpstream } from '../../generation/phases.ts'
import { admittedAlone, assertListable } from '../admission-list.ts'
import { accountsWithRoom, apart, ownAccounts, type Account as UpstreamAccount } from './accounts.ts'
import { hasRoomAside } from './aside.ts'
import { accountsAt, balanceOf, periodOf } from './books.ts'
import { becomeProbe, retryAfterSecondsOf, wayOf } from './breakers.ts'
import { findDuplicate, reattach, seekDuplicate, type DuplicatesFound } from './duplicates.ts'
import type { Entry } from './entry.ts'
import { firstHooks, hasRoomForHooks, noteHook, type Wish } from './hooks.ts'
import { bindIdempotency, cacheLead, endOf, idempotencyLead, takeCacheName } from './names.ts'
import { newerRule, takeRule } from './prices.ts'
import { lookAtServer } from './history.ts'
import { isQueueEmpty, nextPosition, passThrough } from './queue.ts'
import { aliasEndMs, briefOf, change, findById, insert, show, showAlias } from './rows.ts'
import { enlist, tenantOf, type Alias, type Answer, type State } from './state.ts'
import { refuseToken } from './tokens.ts'

/**
 * What an admission will get, found out before anything is written:
 *
 * - `take`: a free answer; the function writes what belongs to it. `foresee` tells of it without that. `about`: the row, and the id that the caller will know it by.
 * - `look`: nothing yet; its files have to be looked at first.
 * - `ask`: nothing yet; other replicas have to say first whether these callers are still connected.
 * - a refusal.
 * - `null`: it has to buy.
 */
type Found = { readonly take: () => Got, readonly foresee: () => Foreseen, readonly about: Wish['about'] } | { readonly look: Entry } | { readonly ask: readonly DuplicateQuestion[] } | Refused | null

/** Cache name → the id of the purchase that takes it, for the purchases earlier in the same list. */
type Siblings = ReadonlyMap<string, string>

/** What of an admission is looked at before anything is written. */
type Asked = Omit<Admission, 'deadlineMs'>

const LATE = { outcome: 'refused', why: 'late' } as const

/** The ledger's `admit`. */
export function admit (state: State, admission: Admission, claim?: ClaimOffer): Admitted {
  return admittedAlone(admitThem(state, [admission], claim))
}

/**
 * The ledger's `admitAll`, in two passes: the first finds out what each admission gets, the second writes it, and only when none was refused. A list that was
 * admitted before gets its answers again, however late: the first ones may have been lost, and the caller has to hear of what was bought.
 */
export function admitAll (state: State, admissions: readonly Admission[]): AdmittedAll {
  return admitThem(state, admissions)
}

function admitThem (state: State, admissions: readonly Admission[], claim?: ClaimOffer): AdmittedAll {
  assertListable(admissions)
  const before = admissions.map(admission => repeated(state, admission, claim))
  if (before.some(got => got !== null)) return tellAgain(state, admissions, before)
  if (admissions.some(({ deadlineMs }) => state.now() > deadlineMs)) return LATE

  const takes: (() => Got)[] = []
  const asked: DuplicateQuestion[] = []
  let isAsking = false
  const purchases: Admission[] = []
  const siblings = new Map<string, string>()
  const wishes: Wish[] = []
  for (const admission of admissions) {
    const found = findFree(state, admission, siblings)
    if (found === null) {
      purchases.push(admission)
      if (takesCacheName(admission)) siblings.set(admission.cacheName, admission.id)
      takes.push(() => buy(state, admission, claim))
      wishes.push({ admission, about: null })
    } else if ('take' in found) {
      takes.push(found.take)
      wishes.push({ admission, about: found.about })
    } else if ('look' in found) {
      return { outcome: 'look', row: show(state, found.look) }
    } else if ('ask' in found) {
      asked.push(...found.ask)
      isAsking = true
    } else {
      return found
    }
  }
  if (isAsking) return { outcome: 'duplicates', duplicates: asked }
  return refuse(state, purchases, wishes) ?? { outcome: 'all', got: takes.map(take => take()) }
}

/** The ledger's `preview`: the first pass of `admit`. */
export function preview (state: State, asked: Asked): Preview {
  const admission: Admission = { ...asked, deadlineMs: Infinity }
  const now = state.now()
  return {
    would: foresee(state, admission),
    rate: rateOf(state, admission),
    balances: admission.budgets.map(({ owner, per }) => balanceOf(state, { owner, period: periodOf(now, per) })),
    position: nextPosition(state, admission),
    running: state.tenants.get(admission.tenant)?.running ?? 0
  }
}

function foresee (state: State, admission: Admission): Foreseen {
  const found = findFree(state, admission, new Map(), seekDuplicate)
  if (found === null) return refuse(state, [admission], [{ admission, about: null }]) ?? { outcome: 'bought' }
  if ('take' in found) return refuse(state, [], [{ admission, about: found.about }]) ?? found.foresee()
  if ('look' in found) return foreseen(state, 'look', found.look)
  return 'ask' in found ? { outcome: 'duplicates', duplicates: found.ask } : found
}

/** The same admission once more: the answer that it got, with the row as it now is. */
function repeated (state: State, admission: Admission, claim?: ClaimOffer): Got | null {
  const own = state.rows.get(admission.id)
  if (own !== undefined) return bought(state, admission, own, claim)
  // What was bought may have given way to a row that came back.
  const gaveWay = state.aliases.get(admission.id)?.gaveWay === true ? findById(state, admission.id) : null
  if (gaveWay !== null) return { outcome: 'joined', row: gaveWay.row }
  const answer = state.answers.get(admission.id)
  const found = answer === undefined ? null : findById(state, answer.id)
  if (answer !== undefined && found !== null) return { outcome: answer.outcome, row: found.row }
  // What it led to may have been deleted already.
  const end = endOf(state, answer?.id ?? admission.id)
  return end === null ? null : { outcome: 'gone', end }
}

/** The same list once more. It was admitted as a whole, so nothing is bought now for those of it whose free answer is forgotten. */
function tellAgain (state: State, admissions: readonly Admission[], before: readonly (Got | null)[]): AdmittedAll {
  const got = admissions.map((admission, index) => {
    const earlier = before[index] ?? null
    if (earlier !== null) return earlier
    const found = findFree(state, admission, new Map())
    return found !== null && 'take' in found ? found.take() : LATE
  })
  return { outcome: 'all', got }
}

function findFree (state: State, admission: Admission, siblings: Siblings, find = findDuplicate): Found {
  return replay(state, admission) ?? readCache(state, admission, siblings) ?? askForDuplicates(state, admission, find(state, admission))
}

function replay (state: State, admission: Admission): Found {
  if (admission.idempotency === null) return null
  const lead = idempotencyLead(state, admission.idempotency.name)
  if (lead === null) return null
  if (lead.fingerprint !== admission.idempotency.fingerprint) return { outcome: 'refused', why: 'reused' }
  const { id, end } = lead
  if (end !== null) return { take: () => ({ outcome: 'gone', end }), foresee: () => ({ outcome: 'gone', end }), about: null }
  const entry = findById(state, id)?.entry
  return { take: () => answerFree(state, admission, 'replayed', id), foresee: () => foreseen(state, 'replayed', entry), about: entry === undefined ? null : { entry, generation: id } }
}

function readCache (state: State, admission: Admission, siblings: Siblings): Found {
  if (!takesCacheName(admission)) return null
  const sibling = siblings.get(admission.cacheName)
  if (sibling !== undefined) return { take: () => join(state, admission, entryOf(state, sibling)), foresee: () => foreseen(state, 'joined', entryOf(state, sibling)), about: null }
  const entry = cacheLead(state, admission.cacheName)?.entry
  if (entry === undefined) return null
  const isHit = entry.row.phase === 'succeeded'
  if (isHit && isLookedAtFirst(state, admission, entry)) return { look: entry }
  return { take: () => isHit ? hit(state, admission, entry) : join(state, admission, entry), foresee: () => foreseen(state, isHit ? 'hit' : 'joined', entry), about: { entry, generation: isHit ? hitIdOf(admission, entry) : joinIdOf(admission, entry) } }
}

/** May the files of a success be gone by now, as far as nobody has looked? */
function isLookedAtFirst (state: State, { filesLastMs, lookedAt }: Admission, { row: { id, finishedAtMs } }: Entry): boolean {
  return filesLastMs !== null && id !== lookedAt && (finishedAtMs ?? 0) + filesLastMs < state.now()
}

/** Does it look at its cache name, and take it when it buys? */
function takesCacheName <Given extends Admission> (admission: Given): admission is Given & { readonly cacheName: string } {
  return admission.cacheName !== null && admission.mode === 'normal'
}

function entryOf (state: State, id: string): Entry {
  const entry = state.rows.get(id)
  if (entry === undefined) throw new Error(`The ledger admitted a list without ${id}, which stands in it.`)
  return entry
}

/**
 * What is stored. A caller that needs an id, or brings a key, and may not read the purchase's gets an alias, the same for every hit, so that hits do not fill the
 * store. The key is bound to whichever id its holder may read.
 */
function hit (state: State, admission: Admission, entry: Entry): Got {
  const { row } = entry
  const { idempotency, needsId, hook } = admission
  const isOwn = isSameReader(row, admission)
  if (idempotency === null && hook === null && (isOwn || !needsId)) return { outcome: 'hit', row: show(state, entry) }
  const id = hitIdOf(admission, entry)
  if (!isOwn && state.aliases.get(id) === undefined) addAlias(state, admission, id, row.id)
  if (idempotency === null && hook === null) return { outcome: 'hit', row: showAlias(state, id, admission, entry) }
  if (idempotency !== null) bindIdempotency(state, idempotency, id, entry)
  return answerFree(state, admission, 'hit', id)
}

/** The id that a reader knows a purchase by that it hits. */
function hitIdOf (admission: Admission, { row }: Entry): string {
  return isSameReader(row, admission) ? row.id : aliasIdOf(admission, row.id)
}

/** The same of one that it joins. */
function joinIdOf (admission: Admission, { row }: Entry): string {
  return isSameReader(row, admission) ? row.id : admission.id
}

/**
 * Waits with others for one purchase. The same reader gets the purchase's own id; another tenant or subject an alias, which is in its own list and
 * lives as long as a generation born now could. The caller's idempotency key is bound to whichever id it gets.
 */
function join (state: State, admission: Admission, entry: Entry): Got {
  const { row } = entry
  if ((row.phase === 'waiting' || isAtUpstream(row.phase)) && !row.joined) change(state, entry, joining(state, row))
  const id = joinIdOf(admission, entry)
  if (id !== row.id) addAlias(state, admission, id, row.id)
  if (admission.idempotency !== null) bindIdempotency(state, admission.idempotency, id, entry)
  return answerFree(state, admission, 'joined', id)
}

/**
 * What changes about a row that is joined for the first time. Others may wait as long as the ledger lets them, so the buyer's own deadline does not hold any
 * more, nor does the shorter one that began when the buyer left.
 */
function joining (state: State, { createdAtMs }: Generation): Pick<Generation, 'joined' | 'startUntilMs' | 'waitUntilMs'> {
  return { joined: true, startUntilMs: null, waitUntilMs: createdAtMs + state.times.queueMs }
}

function addAlias (state: State, { tenant, subject }: Reader, id: string, target: string): void {
  state.counter += 1
  const alias: Alias = { tenant, subject, target, number: state.counter, endMs: aliasEndMs(state), gaveWay: false }
  state.aliases.set(id, alias, alias.endMs)
  enlist(state.aliasLists, alias, id, alias.number)
}

/** The id under which a reader hits a purchase of somebody else, in the form of all ids. Nobody can guess it without knowing that one's. */
function aliasIdOf ({ tenant, subject }: Reader, purchase: string): string {
  const digits = hash('sha1', `${tenant} ${subject} ${purchase}`)
  return `${digits.slice(0, 8)}-${digits.slice(8, 12)}-7${digits.slice(12, 15)}-8${digits.slice(15, 18)}-${digits.slice(18, 30)}`
}

function isSameReader (one: Reader, other: Reader): boolean {
  return one.tenant === other.tenant && one.subject === other.subject
}

function foreseen (state: State, outcome: Answer['outcome'] | 'look', entry: Entry | undefined): Foreseen {
  if (entry === undefined) throw new Error(`The ledger foresees ${outcome} of nothing.`)
  return { outcome, row: briefOf(show(state, entry)) }
}

function askForDuplicates (state: State, admission: Admission, found: DuplicatesFound): Found {
  if (found === null || 'ask' in found) return found
  if ('join' in found) {
    const { join: twin } = found
    return {
      take: () => {
        // It is delivered when the one that came last has it.
        if (!twin.row.delivered) change(state, twin, { connection: admission.connection, callerRetry: admission.callerRetry })
        return join(state, admission, twin)
      },
      foresee: () => foreseen(state, 'joined', twin),
      about: { entry: twin, generation: joinIdOf(admission, twin) }
    }
  }
  return {
    take: () => {
      reattach(state, found.reattach, admission)
      return answerFree(state, admission, 'adopted', found.reattach.row.id)
    },
    foresee: () => foreseen(state, 'adopted', found.reattach),
    about: { entry: found.reattach, generation: found.reattach.row.id }
  }
}

/** Gives a free answer and remembers it until the deadline: a second run of this admission must not buy because the first one's row has ended since. */
function answerFree (state: State, admission: Admission, outcome: Answer['outcome'], id: string): Got {
  state.answers.set(admission.id, { outcome, id }, admission.deadlineMs + 1)
  const found = findById(state, id)
  if (found !== null) noteHook(state, admission, id, found.entry, outcome === 'hit' || outcome === 'joined')
  if (found === null) throw new Error(`The ledger answered ${outcome} with ${id}, which leads nowhere.`)
  return { outcome, row: found.row }
}

const TOO_MANY_HOOKS = { outcome: 'refused', why: 'hooks' } as const

/** Every reason not to buy all of these, or not to tell whom all of a list want to be told. Writes nothing. */
function refuse (state: State, purchases: readonly Admission[], wishes: readonly Wish[]): Refused | null {
  const [first] = purchases
  const tooManyHooks = hasRoomForHooks(state, wishes) ? null : TOO_MANY_HOOKS
  if (first === undefined) return tooManyHooks
  const tenant = state.tenants.get(first.tenant)
  const running = tenant?.running ?? 0
  // A tripped breaker lets one purchase through, as its probe. One that had to wait for a slot would find out nothing, and keep others from being the probe.
  const mayProbe = purchases.length === 1 && running < first.maxInFlight
  for (const purchase of purchases) {
    const way = wayOf(state, purchase.id, purchase, ownAccounts(state))
    const surely = way.account === undefined || mayProbe ? way : wayOf(state, purchase.id, purchase, ownAccounts(state), { isNoProbe: true })
    const breaker = surely.account === undefined ? surely.breaker : undefined
    if (breaker !== undefined) return { outcome: 'refused', why: 'breaker', breaker: breaker.state, retryAfterSeconds: retryAfterSecondsOf(state, breaker) }
  }
  for (const purchase of purchases) {
    const ledgerRule = newerRule(state, purchase)
    if (ledgerRule !== null) return { outcome: 'refused', why: 'prices', ledgerRule }
  }
  if (purchases.some(({ makesLarge }) => makesLarge) && !hasRoomAside(state)) return { outcome: 'refused', why: 'large' }
  if (tooManyHooks !== null) return tooManyHooks
  const price = purchases.reduce((sum, purchase) => sum + purchase.price, 0)
  const token = refuseToken(state, first, { price, files: purchases.reduce((sum, { files }) => sum + files, 0) })
  if (token !== null) return { outcome: 'refused', why: 'token', token }
  const rate = rateOf(state, first)
  if (rate.used + purchases.length > rate.max) return { outcome: 'refused', why: 'rate', rate }
  const underWay = (tenant?.waiting ?? 0) + running
  if (underWay + purchases.length > first.maxInFlight + first.maxQueued) return { outcome: 'refused', why: 'full', rate }
  const now = state.now()
  const exceeded = first.budgets.find(budget => {
    const { held, spent } = balanceOf(state, { owner: budget.owner, period: periodOf(now, budget.per) })
    return held + spent + price > budget.limit
  })
  return exceeded === undefined ? null : { outcome: 'refused', why: 'budget', owner: exceeded.owner, rate }
}

function bought (state: State, admission: Admission, entry: Entry, claim?: ClaimOffer): Got {
  const { row, hidden } = entry
  const isGranted = claim !== undefined && row.phase === 'submitting' && hidden.claimId === claim.claimId
  return { outcome: 'bought', row: show(state, entry), rate: rateOf(state, admission), terms: isGranted ? termsOf(hidden) : null }
}

/**
 * May this tenant's purchase go to fal at once? Only where nobody is overtaken: nobody waits for a slot, nobody pauses who might, and the tenant has a free
 * slot.
 */
function isNext (state: State, name: string): boolean {
  const { running, maxInFlight, queue } = tenantOf(state, name)
  return queue.size() === 0 && running < maxInFlight && isQueueEmpty(state) && state.later.size() === 0
}

/** Writes the row, reserves its money, counts it, binds its names and gives it its position in the queue, or its first attempt to the claim that came along. */
function buy (state: State, admission: Admission, claim?: ClaimOffer): Got {
  const now = state.now()
  const { id, idempotency } = admission
  state.counter += 1
  const begun = beginRow(admission)
  const entry: Entry = {
    row: {
      ...begun.row,
      id,
      purchase: id,
      stored: false,
      accounts: accountsAt(now, admission.budgets),
      upstream: state.upstream,
      createdAtMs: now,
      waitUntilMs: now + Math.min(state.times.queueMs, admission.startWithinMs ?? Infinity),
      startUntilMs: admission.startWithinMs === null ? null : now + admission.startWithinMs
    },
    hidden: {
      ...begun.hidden,
      number: state.counter,
      keyless: idempotency === null,
      keyedUntilMs: idempotency === null ? 0 : now + ledgerConstants.idempotencyMs,
      idempotencyName: idempotency?.name ?? null,
      fingerprint: idempotency?.fingerprint ?? null,
      hooks: firstHooks(state, admission)
    }
  }
  const tenant = tenantOf(state, admission.tenant)
  tenant.weight = admission.weight
  tenant.maxInFlight = admission.maxInFlight
  const rate = rateOf(state, admission)
  const { beganAtMs, endsAtMs } = now < tenant.window.endsAtMs ? tenant.window : { beganAtMs: now, endsAtMs: now + rate.windowSeconds * 1000 }
  tenant.window = { used: rate.used + 1, beganAtMs, endsAtMs }
  state.note('tenants', admission.tenant)
  if (takesCacheName(admission)) takeCacheName(state, admission.cacheName, id)
  if (idempotency !== null) bindIdempotency(state, idempotency, id, null)
  takeRule(state, admission)
  const isOffered = claim !== undefined && state.claims.get(claim.claimId) === undefined && isNext(state, admission.tenant)
  let { account } = isOffered ? wayOf(state, id, admission, accountsWithRoom(state, claim.slots), { isProbeFirst: true }) : NO_WAY
  if (isOffered && account !== undefined && lookAtServer(state) === null) {
    passThrough(state, admission.tenant)
    entry.row = { ...entry.row, phase: 'submitting', attempt: 1, owner: claim.replica, upstream: account, runUntilMs: now + state.times.runMs }
    entry.hidden = { ...entry.hidden, claimId: claim.claimId, leaseUntilMs: now + state.times.leaseMs }
  } else {
    // One that waits is the probe of the first account only, and only where no other one is ok.
    account = wayOf(state, id, admission, ownAccounts(state)).account
    if (account !== undefined && apart(state, account) !== null) account = undefined
  }
  insert(state, entry)
  becomeProbe(state, id, admission, account)
  return bought(state, admission, entry, claim)
}

const NO_WAY: { readonly account?: UpstreamAccount } = {}

/** The tenant's purchases in the window under way; a window begins with its first purchase. */
function rateOf (state: State, { tenant, rate }: Admission): RateState {
  const window = state.tenants.get(tenant)?.window
  const leftMs = (window?.endsAtMs ?? 0) - state.now()
  return {
    max: rate.max,
    windowSeconds: rate.windowSeconds,
    used: window !== undefined && leftMs > 0 ? window.used : 0,
    resetSeconds: leftMs > 0 ? Math.ceil(leftMs / 1000) : rate.windowSeconds
  }
}
