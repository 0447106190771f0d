// A walk: a list of ledger operations drawn at random, and what has to hold after each of them beside the audit.

import fc from 'fast-check'
import { Problem } from '../../src/errors.ts'
import type { Token } from '../../src/generation/accounts.ts'
import type { Admission, Admitted, ClaimOffer, Preview } from '../../src/generation/admission.ts'
import type { Fact } from '../../src/generation/evidence.ts'
import type { Generation, Terms } from '../../src/generation/generation.ts'
import type { DueHook } from '../../src/generation/hooks.ts'
import { ledgerConstants } from '../../src/generation/ledger-constants.ts'
import type { Gauges, Ledger, LedgerTimes } from '../../src/generation/ledger.ts'
import { hasEnded, isAtUpstream, statuses } from '../../src/generation/phases.ts'
import type { LogPiece } from '../../src/generation/upstream.ts'
import { admissionOf, failureOf, freshId, longTrace, noTerms, price, successOf, tokenOf, traceLost, unreachable } from '../support/admission.ts'
import { audited, type Store } from './contract/world.ts'
import { createTokenWitness, type TokenWitness } from './walk-tokens.ts'

/** Short enough that a walk meets every deadline. */
export const walkTimes: LedgerTimes = { resultTtlMs: 40 * 60_000, queueMs: 5 * 60_000, runMs: 20 * 60_000, leaseMs: 15_000, largeResultBytes: 67_108_864 + 700_000 }

const minute = 60_000

/** Too long for a row; three of them leave no room for more. */
const largeOutput = JSON.stringify({ images: [{ url: 'data:,' + 'x'.repeat(300_000) }], seed: 42 })
const slots = 3
const limit = 6 * price

/** `r3` has one account; the others have two, the second with slots of its own. */
const both = [{ kind: 'fal', name: 'main' }, { kind: 'fal', name: 'second', slots: 2 }] as const
const slotsOf = (upstream: string | null): number => upstream === 'fal second' ? 2 : slots

const tenant = fc.constantFrom('studio', 'agency')
const replica = fc.constantFrom('r1', 'r2', 'r3')
const name = fc.constantFrom('a', 'b')
/** Which of the generations met so far; reduced to their number. */
const which = fc.nat(1000)
const cost = fc.constantFrom(0, 1, price - 1, price, price, price, price + 1, null, null, 10 * price, 10 * price + 1, Number.MAX_SAFE_INTEGER)

const admitStep = fc.record({
  do: fc.constant('admit' as const),
  tenant,
  subject: fc.constantFrom('', 'visitor'),
  as: fc.constantFrom('plain', 'seed', 'refresh', 'bypass', 'key', 'keyed seed', 'duplicate', 'twin', 'reuse', 'reuse', 'keyed reuse', 'unseeded refresh'),
  /** Which of the tokens minted so far it draws on; in its holder's name, or (`isStolen`) in that of `tenant` and `subject`. */
  token: fc.oneof({ weight: 2, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: which }),
  isStolen: fc.constantFrom(...Array<boolean>(9).fill(false), true),
  name,
  connection: fc.constantFrom(null, 'c1', 'c2'),
  lastRound: fc.boolean(),
  callerRetry: fc.constantFrom(0, 0, 1, 2),
  priority: fc.constantFrom('interactive' as const, 'background' as const, 'low' as const),
  startWithinMs: fc.constantFrom(null, null, minute),
  needsId: fc.boolean(),
  filesLastMs: fc.constantFrom(null, null, null, 0, 6 * minute),
  /** Which of the generations met so far its caller has looked at. */
  lookedAt: fc.option(which),
  /** Whom to tell when it has ended. */
  hook: fc.constantFrom(null, null, null, 'https://one.example', 'https://two.example'),
  trace: fc.constantFrom(null, null, longTrace),
  promptBytes: fc.constantFrom(10, 10, 2000, 40_000),
  makesLarge: fc.constantFrom(...Array<boolean>(7).fill(false), true),
  files: fc.constantFrom(1, 1, 2),
  priceRule: fc.constantFrom(...Array<string>(8).fill('rule'), 'other', 'third'),
  replacesPriceRule: fc.constantFrom(null, 'rule', 'other', 'third'),
  /** The latest admission once more, under its own id. */
  again: fc.boolean(),
  /** The claim that comes along. */
  brings: fc.option(fc.record({ replica, claimId: fc.nat(20) }), { freq: 2 })
})
/** A list of them; asked for by the reader of the first. */
const admitAllStep = fc.record({ do: fc.constant('admitAll' as const), of: fc.array(admitStep, { minLength: 1, maxLength: 4 }), again: fc.boolean() })
/** `beats`: it has a heartbeat at that time; those of older versions have none. */
const claimStep = fc.record({ do: fc.constant('claim' as const), replica, claimId: fc.nat(20), beats: fc.boolean() })

const withdrawStep = fc.record({ do: fc.constant('withdraw' as const), which, connection: fc.constantFrom(null, 'c1'), claimId: fc.option(fc.nat(20)) })

/** Which attempt it is about, counted from the row's. */
const off = fc.constantFrom(0, 0, 0, 0, -1, 1)
/** fal's id: usually the same for one generation and attempt, sometimes that of another submit, and sometimes one that several generations are given. */
const named = fc.constantFrom('x', 'x', 'x', 'y', 'shared')
const requestId = fc.option(named)

/** The account that evidence names; mostly that of the row. */
const upstream = fc.constantFrom(undefined, undefined, undefined, 'fal main', 'fal second')

const sentStep = fc.record({ do: fc.constant('recordAccepted' as const), which, requestId: named, off, upstream })
/** A word of the breaker that comes with a failed attempt. */
const report = fc.constantFrom(
  undefined,
  undefined,
  { scope: '*', state: 'open', retryAfterMs: 1000, after: 3 } as const,
  { scope: '*', state: 'open', retryAfterMs: 1000, after: 2, tenantFirst: true } as const,
  { scope: '*', state: 'open', retryAfterMs: 0, after: 2, tenantFirst: true } as const,
  { scope: '*', state: 'account-blocked', retryAfterMs: 1000 } as const,
  { scope: 'fal-ai/imagen4/preview/ultra', state: 'retired', retryAfterMs: 1000 } as const
)
const unsentStep = fc.record({ do: fc.constant('recordNotSent' as const), which, final: fc.boolean(), elsewhere: fc.boolean(), retryAfterMs: fc.constantFrom(0, 1000, 10 * minute), busy: fc.constantFrom(false, false, true), report })
const lostStep = fc.record({ do: fc.constant('recordUnknown' as const), which, requestId, report, upstream })
/** Lines of fal's log: from where on, and how many; none when there are no new ones. */
const log = fc.record({ from: fc.constantFrom(0, 0, 1, 3, 5), count: fc.constantFrom(0, 0, 1, 2, 4) })
const progressedStep = fc.record({ do: fc.constant('recordProgress' as const), which, requestId: named, off, position: fc.constantFrom(null, 0, 3), running: fc.boolean(), log, upstream })
const doubtedStep = fc.record({
  do: fc.constant('recordDoubt' as const), which, requestId: named, off, seen: fc.constantFrom('unavailable' as const, 'expired' as const, 'no-output' as const), log, upstream
})
const finishStep = fc.record({
  do: fc.constant('finish' as const),
  which,
  cost,
  kind: fc.constantFrom('succeeded' as const, 'failed' as const, 'cancelled' as const),
  learned: fc.option(name),
  files: fc.constantFrom(0, 1, 2),
  isLarge: fc.constantFrom(...Array<boolean>(5).fill(false), true),
  media: fc.constantFrom(null, null, [{ at: 9, bytes: 3, file: 'a.png' }], [{ at: 9, bytes: 3, file: 'b.png' }, { at: 19, bytes: 3, file: 'a.png' }], [{ at: 9, bytes: 3, file: null }]),
  bases: fc.constantFrom(null, null, { bytes: 21, at: [18] }, { bytes: 3, at: [1, 9, 200] }),
  log,
  requestId: named,
  off,
  upstream
})

/**
 * `forge`: a replica knows more about one of its generations than the store does, and under which request id. `lost`: it knows one that the store has lost,
 * which was like this one, and what led to it.
 */
const renewStep = fc.record({
  do: fc.constant('renew' as const),
  replica,
  restore: fc.boolean(),
  forge: fc.option(named),
  lost: fc.option(fc.record({ which, requestId, holds: fc.boolean(), name, mode: fc.constantFrom('normal' as const, 'normal' as const, 'refresh' as const, 'bypass' as const), learned: fc.boolean(), reuses: fc.boolean() }))
})
const sweepStep = fc.record({ do: fc.constant('sweep' as const), replica, max: fc.constantFrom(1, 5, 50) })
const heartbeatStep = fc.record({ do: fc.constant('heartbeat' as const), replica })
/** From whoever went silent; `silent`: from that one, whether it did or not. */
const takeOverStep = fc.record({ do: fc.constant('takeOver' as const), replica, silent: fc.option(replica), max: fc.constantFrom(1, 50) })
const releaseStep = fc.record({ do: fc.constant('release' as const), replica, which })
const seenStep = fc.record({ do: fc.constant('seen' as const), which, connection: fc.constantFrom(null, 'c1', 'c2'), left: fc.boolean() })
const cancelStep = fc.record({ do: fc.constant('cancel' as const), which, tenant })
const settleStep = fc.record({ do: fc.constant('settle' as const), which, billed: fc.boolean() })
const correctStep = fc.record({ do: fc.constant('correct' as const), which, cost: fc.constantFrom(null, null, 0, price, 20 * price) })
const breakerStep = fc.record({
  do: fc.constant('breaker' as const),
  scope: fc.constantFrom('*', '*', 'account:second', 'fal-ai/imagen4/preview/ultra', 'tenant:studio'),
  state: fc.constantFrom('ok' as const, 'ok' as const, 'open' as const, 'account-blocked' as const),
  retryAfterMs: fc.constantFrom(0, 1000),
  only: fc.constantFrom('ok' as const, 'account-blocked' as const, 'price-unsure' as const)
}, { requiredKeys: ['do', 'scope', 'state', 'retryAfterMs'] })
const eraseStep = fc.record({ do: fc.constant('erase' as const), which, tenant })
const deadLinksStep = fc.record({ do: fc.constant('deadLinks' as const), which })
/** Files of some are stored, or turn out to be gone. */
const filesStep = fc.record({ do: fc.constant('files' as const), which, took: fc.constantFrom(0, 5), becomes: fc.constantFrom('a.png', 'c.png', null, 'gone') })
const fileName = fc.constantFrom('a.png', 'b.png', 'c.png')
const keptStep = fc.record({
  do: fc.constant('kept' as const),
  expects: fc.option(fileName),
  bytes: fc.constantFrom(10, 30),
  maxBytes: fc.constantFrom(null, 50),
  takes: fc.constantFrom(0, 2, 10),
  idleMs: fc.constantFrom(0, minute),
  keepMs: fc.constantFrom(0, minute),
  goes: fc.boolean(),
  withdraws: fc.option(fileName, { freq: 12 }),
  meets: fc.option(fileName),
  isTaking: fc.boolean()
})
/** Deliveries are taken, and what became of one of all that were taken so far is told, by its holder or too late. */
const tellStep = fc.record({ do: fc.constant('tell' as const), which, max: fc.constantFrom(0, 1, 10), except: fc.constantFrom([], [], ['studio']), outcome: fc.constantFrom('delivered' as const, 'again' as const, 'given-up' as const), pauseMs: fc.constantFrom(0, minute) })
const tellAgainStep = fc.record({ do: fc.constant('tellAgain' as const), which })
const listStep = fc.record({ do: fc.constant('list' as const), tenant, subject: fc.constantFrom('', 'visitor'), limit: fc.constantFrom(1, 10), after: fc.option(which), status: fc.option(fc.constantFrom(...statuses)) })
/** A process of another account, that has the ledger's address by mistake. */
const foreignStep = fc.record({ do: fc.constant('foreign' as const), what: fc.constantFrom('admit' as const, 'claim' as const, 'sweep' as const, 'takeOutbox' as const, 'once' as const, 'finish' as const, 'cancel' as const, 'lookup' as const, 'preview' as const), which })
const onceStep = fc.record({ do: fc.constant('once' as const), what: fc.constantFrom('task', 'other'), forMs: fc.constantFrom(1, 15_000, 6 * minute) })
/** The ledger's clock may jump either way: Redis' is that of a machine, and after a failover that of another one. */
const waitStep = fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(1, 999, 2500, 2500, 2500, 15_000, minute, 6 * minute, 15 * minute, 50 * minute, 26 * 60 * minute, -999, -minute) })
/** `again`: which one of those minted before is minted once more. */
const mintStep = fc.record({
  do: fc.constant('mint' as const),
  tenant,
  hasOwnSubject: fc.boolean(),
  pictures: fc.constantFrom(1, 2, 4, 9),
  money: fc.constantFrom(price, 3 * price, Number.MAX_SAFE_INTEGER),
  lastsMs: fc.constantFrom(1, 30_000, 7 * minute, 20 * minute),
  again: fc.oneof({ weight: 4, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: which })
})
const revokeStep = fc.record({ do: fc.constant('revoke' as const), which, tenant })
/** Redis was started again, or failed over to another server, which lost nothing. */
const serverStep = fc.record({ do: fc.constant('server' as const), server: fc.constantFrom('first', 'second') })

const step = fc.oneof(
  { weight: 8, arbitrary: admitStep },
  { weight: 2, arbitrary: admitAllStep },
  { weight: 6, arbitrary: claimStep },
  { weight: 1, arbitrary: withdrawStep },
  { weight: 4, arbitrary: sentStep },
  { weight: 2, arbitrary: unsentStep },
  { weight: 2, arbitrary: lostStep },
  { weight: 2, arbitrary: progressedStep },
  { weight: 2, arbitrary: doubtedStep },
  { weight: 4, arbitrary: finishStep },
  { weight: 2, arbitrary: renewStep },
  { weight: 3, arbitrary: sweepStep },
  { weight: 2, arbitrary: heartbeatStep },
  { weight: 3, arbitrary: takeOverStep },
  { weight: 1, arbitrary: releaseStep },
  { weight: 2, arbitrary: seenStep },
  { weight: 2, arbitrary: cancelStep },
  { weight: 1, arbitrary: settleStep },
  { weight: 2, arbitrary: correctStep },
  { weight: 1, arbitrary: breakerStep },
  { weight: 1, arbitrary: filesStep },
  { weight: 2, arbitrary: keptStep },
  { weight: 1, arbitrary: deadLinksStep },
  { weight: 1, arbitrary: eraseStep },
  { weight: 3, arbitrary: tellStep },
  { weight: 1, arbitrary: tellAgainStep },
  { weight: 1, arbitrary: listStep },
  { weight: 1, arbitrary: onceStep },
  { weight: 1, arbitrary: foreignStep },
  { weight: 4, arbitrary: waitStep },
  { weight: 1, arbitrary: serverStep },
  { weight: 2, arbitrary: mintStep },
  { weight: 1, arbitrary: revokeStep }
)

export type Step = typeof step extends fc.Arbitrary<infer Drawn> ? Drawn : never
type AdmitStep = Extract<Step, { do: 'admit' }>

/** Walks of up to `maxSteps` operations. */
export function walks (maxSteps: number): fc.Arbitrary<Step[]> {
  return fc.array(step, { maxLength: maxSteps, size: 'max' })
}

/** Walks a store from its beginning; rejects with what does not hold. `isMortal`: its process may be gone after any step, and the connections of callers with it. */
export async function walk (store: Store, steps: readonly Step[], startMs: number, isMortal = false): Promise<void> {
  const ledger = audited(store)
  const richer = audited({ ledger: await store.beside(both), audit: store.audit })
  const ledgerOf = (replica: string | undefined): Ledger => replica === 'r3' ? ledger : richer
  const stranger = await store.beside({ kind: 'sandbox', name: 'main' })
  const witness = createWitness(isMortal)
  let nowMs = startMs
  let latest: readonly Admission[] = []
  const deliveries: DueHook[] = []
  const tokens = createTokenWitness()
  await mint(ledger, tokens, tokenOf({ picturesLeft: 4 }))

  for (const step of steps) {
    if (step.do === 'wait') {
      // What was answered is remembered until the deadline. Memory then forgets it for good, Redis under a test's clock would remember it again.
      if (step.ms < 0 && latest.some(({ deadlineMs }) => deadlineMs < nowMs)) latest = []
      // The same with a token that was forgotten.
      if (tokens.forgottenBetween(nowMs + step.ms, nowMs)) continue
      nowMs += step.ms
      await store.setNow(nowMs)
    } else if (step.do === 'server') {
      store.setServer(step.server)
    } else if (step.do === 'admit') {
      const isAgain = step.again && latest.length === 1
      const admission = { ...drawAdmission(step, tokens, nowMs), lookedAt: step.lookedAt === null ? null : witness.pick(step.lookedAt)?.purchase ?? null }
      // What was asked before is told again, which is none of a preview's affairs.
      const asked = ledgerOf(step.brings?.replica)
      const preview = isAgain ? null : await asked.preview(admission)
      latest = isAgain ? latest : [admission]
      await admit(asked, witness, latest, preview, step.brings)
    } else if (step.do === 'admitAll') {
      latest = step.again && latest.length > 0 ? latest : drawList(step.of, tokens, nowMs)
      await admit(ledger, witness, latest)
    } else if (step.do === 'mint') {
      const earlier = step.again === null ? undefined : tokens.pick(step.again)
      // The id of one that was forgotten does not come again.
      const isKnown = earlier !== undefined && await ledger.token(earlier.id) !== null
      await mint(ledger, tokens, isKnown ? earlier : drawToken(step, nowMs))
    } else if (step.do === 'revoke') {
      const token = tokens.pick(step.which)
      if (token !== undefined && await ledger.revoke(token.id, step.tenant)) tokens.revoke(token, nowMs)
    } else if (step.do === 'tell') {
      await tell(ledger, deliveries, step)
    } else if (step.do === 'foreign') {
      await refuseStranger(stranger, step, witness.pick(step.which)?.purchase ?? 'nobody')
      await ledger.ping()
    } else {
      await take('replica' in step ? ledgerOf(step.replica) : richer, witness, step)
    }
    const found = await ledger.getMany(witness.ids())
    witness.compare(found)
    await tokens.compare(ledger, found)
    await compareLogs(ledger, witness.ids())
  }
}

/** Every line stands at its place, and what a glance shows is what the rows say. */
async function compareLogs (ledger: Ledger, ids: readonly string[]): Promise<void> {
  for (const { id, logged } of await ledger.getStatuses(ids)) {
    const { from, lines } = await ledger.logs(id, 0)
    if (lines.length > 0 && from + lines.length !== logged) throw new Error(`${id} was told ${logged} log lines and keeps ${lines.length} from ${from}`)
    const misplaced = lines.findIndex(({ message }, n) => message !== `line ${from + n}`)
    if (misplaced >= 0) throw new Error(`${id} has ${lines[misplaced]?.message} at place ${from + misplaced}`)
  }
}

/** Mints a token; once more it changes nothing, whatever was drawn on it. */
async function mint (ledger: Ledger, tokens: TokenWitness, token: Token): Promise<void> {
  const { outcome } = await ledger.mint(token)
  if (outcome !== 'minted') throw new Error(`token ${token.id} was answered ${outcome}`)
  tokens.add(token)
}

function drawToken ({ tenant, hasOwnSubject, pictures, money, lastsMs }: Extract<Step, { do: 'mint' }>, nowMs: number): Token {
  const id = freshId()
  return tokenOf({ id, tenant, subject: hasOwnSubject ? id : 'visitor', expiresAtMs: nowMs + lastsMs, picturesLeft: pictures, moneyLeft: money })
}

/** Requests of one caller, each with its place in its names. */
function drawList (steps: readonly AdmitStep[], tokens: TokenWitness, nowMs: number): Admission[] {
  const [first] = steps
  if (first === undefined) return []
  const { tenant, subject, token, isStolen } = first
  return steps.map((step, place) => drawAdmission({ ...step, tenant, subject, token, isStolen }, tokens, nowMs, place === 0 ? '' : `-${place}`))
}

function drawAdmission (step: AdmitStep, tokens: TokenWitness, nowMs: number, place = ''): Admission {
  const { as, name, connection } = step
  const token = step.token === null ? undefined : tokens.pick(step.token)
  const { tenant, subject } = token === undefined || step.isStolen ? step : token
  const seeded = as === 'seed' || as === 'refresh' || as === 'bypass' || as === 'keyed seed'
  return admissionOf({
    tenant,
    subject,
    deadlineMs: nowMs + 1000,
    mode: as === 'unseeded refresh' ? 'refresh' : as === 'refresh' || as === 'bypass' ? as : 'normal',
    seed: seeded ? '7' : null,
    cacheName: seeded ? 'cache-' + name : as === 'reuse' || as === 'keyed reuse' ? 'reuse-' + name : null,
    reuseName: 'reuse-' + name,
    idempotency: as === 'key' || as === 'keyed seed' || as === 'keyed reuse' ? { name: `${as}-${tenant}-${subject}-${name}${place}`, fingerprint: name } : null,
    duplicateName: as === 'duplicate' || as === 'twin' ? `duplicate-${tenant}-${subject}-${name}${place}` : null,
    lastRound: step.lastRound,
    joinsTwins: as === 'twin',
    twinMs: minute,
    callerRetry: step.callerRetry,
    connection: connection === null ? null : { replica: 'r1', connection },
    priority: step.priority,
    startWithinMs: step.startWithinMs,
    needsId: step.needsId,
    filesLastMs: step.filesLastMs,
    hook: step.hook === null ? null : { id: 'hook_' + freshId(), url: step.hook, form: 'native', base: 'https://gateway.example' },
    trace: step.trace,
    input: JSON.stringify({ prompt: 'x'.repeat(step.promptBytes) }),
    makesLarge: step.makesLarge,
    files: step.files,
    priceRule: step.priceRule,
    replacesPriceRule: step.replacesPriceRule,
    rate: { max: 9, windowSeconds: 60 },
    maxInFlight: 2,
    maxQueued: 3,
    weight: tenant === 'studio' ? 3 : 1,
    budgets: [{ owner: tenant, limit, per: 'day' }, { owner: '*', limit: 2 * limit, per: 'month' }],
    token: token?.id ?? null
  })
}

async function admit (ledger: Ledger, witness: Witness, given: readonly Admission[], preview: Preview | null = null, brings: AdmitStep['brings'] = null): Promise<void> {
  const [first] = given
  if (first === undefined) return
  const before = await money(ledger)
  const gaugesBefore = await ledger.gauges()
  const claim = brings === null ? undefined : { claimId: `claim${brings.claimId}`, replica: brings.replica, slots }
  const got = await gotBy(ledger, given, first, claim)
  const after = await money(ledger)
  for (const answer of got) if (preview !== null) compareForeseen(preview, answer)
  for (const answer of got) if ('row' in answer) witness.meet(answer.row)
  got.forEach((answer, place) => {
    const admission = given[place]
    if ('row' in answer && answer.outcome !== 'look' && admission?.idempotency != null) witness.bind(admission.idempotency.name, answer.row, answer.outcome === 'bought', ledger.now())
    if (answer.outcome === 'bought' && admission !== undefined) witness.buy(admission, answer.row)
    if (answer.outcome === 'bought' && answer.terms !== null) witness.grant(claim?.claimId ?? 'no claim', answer.row)
  })
  assertSlots(gaugesBefore, await ledger.gauges())
  if (got.some(({ outcome }) => outcome === 'bought')) {
    // The same admission again is answered however the budgets stand by now, and moves nothing.
    const exceeded = after.find(({ owner, budget, held, spent }) => (owner === first.tenant || owner === '*') && held + spent > budget)
    if (exceeded !== undefined && !same(before, after)) throw new Error(`${exceeded.held} held and ${exceeded.spent} spent exceed ${exceeded.budget} of ${exceeded.owner}`)
    const token = first.token === null ? null : await ledger.token(first.token)
    if (token !== null && !same(before, after) && (token.picturesLeft < 0 || token.moneyLeft < 0)) throw new Error(`token ${token.id} was overdrawn: ${token.picturesLeft} pictures and ${token.moneyLeft} are left`)
  } else if (!same(before, after)) {
    throw new Error(`${got.map(({ outcome }) => outcome).join()} moved money`)
  }
}

/** No account has more at fal than its slots, unless what is there is the doing of evidence. */
function assertSlots (before: Gauges, after: Gauges): void {
  const tooMany = after.accounts.find(({ upstream, used }) => used > slotsOf(upstream) && used > (before.accounts.find(account => account.upstream === upstream)?.used ?? 0))
  if (tooMany !== undefined) throw new Error(`${tooMany.used} are at fal with ${tooMany.upstream}`)
}

/** An admission is answered as was foreseen at the same moment. */
function compareForeseen ({ would, rate, position }: Preview, answer: Admitted): void {
  const known = (given: Preview['would'] | Admitted): unknown => 'row' in given ? { outcome: given.outcome, purchase: given.row.purchase } : given
  if (answer.outcome === 'bought') {
    const { row, rate: counted } = answer
    if (would.outcome !== 'bought') throw new Error(`${would.outcome} was foreseen, and it was bought`)
    if (row.phase === 'waiting' && row.queuePosition !== position) throw new Error(`position ${position} was foreseen, and ${row.id} stands at ${row.queuePosition}`)
    if (counted.used !== rate.used + 1) throw new Error(`${rate.used} were counted before ${row.id}, and ${counted.used} with it`)
  } else if (!same(known(would), known(answer))) {
    throw new Error(`${JSON.stringify(known(would))} was foreseen, and the answer is ${JSON.stringify(known(answer))}`)
  }
}

/** What a process of another account asks for is refused; that nothing of it was done is seen by the audit and by the rows. */
async function refuseStranger (stranger: Ledger, { what }: Extract<Step, { do: 'foreign' }>, id: string): Promise<void> {
  const deadlineMs = stranger.now() + 1000
  const asked = {
    admit: async () => await stranger.admit(admissionOf({ cacheName: 'cache-a', deadlineMs })),
    claim: async () => await stranger.claim({ claimId: freshId(), deadlineMs, replica: 'stranger', slots: 1000 }),
    sweep: async () => await stranger.sweep('stranger', 50),
    takeOutbox: async () => await stranger.takeOutbox(50),
    once: async () => await stranger.once('task', minute),
    finish: async () => await stranger.finish(id, 1, `${id}-1-x`, successOf()),
    cancel: async () => await stranger.cancel(id, { tenant: 'studio', subject: '' }),
    lookup: async () => await stranger.lookup('cache-a'),
    preview: async () => await stranger.preview(admissionOf({ cacheName: 'cache-a' }))
  }
  const isRefused = await asked[what]().then(() => false, (error: unknown) => {
    if (error instanceof Problem && error.code === 'foreign-ledger') return true
    throw error
  })
  if (!isRefused) throw new Error(`${what} was open to a stranger`)
}

/** One after the other for each webhook: what one process has is given to no other before its time is over, and the events of each rise one by one. */
async function tell (ledger: Ledger, deliveries: DueHook[], { which, max, except, outcome, pauseMs }: Extract<Step, { do: 'tell' }>): Promise<void> {
  for (const taken of await ledger.takeHooks(max, except)) {
    if (except.some(tenant => tenant === taken.tenant)) throw new Error(`${taken.id} was taken, although ${taken.tenant} was left out`)
    if (!hasEnded(taken.row.phase)) throw new Error(`${taken.id} was taken when its generation was ${taken.row.phase}`)
    if (taken.row.id !== taken.generation || taken.row.tenant !== taken.tenant) throw new Error(`${taken.id} shows ${taken.row.id} of ${taken.row.tenant}`)
    const before = deliveries.findLast(({ id }) => id === taken.id)
    if (taken.event < 1 || (before !== undefined && taken.event !== before.event && taken.event !== before.event + 1)) throw new Error(`${taken.id} came to event ${taken.event} after ${before?.event}`)
    deliveries.push(taken)
  }
  const told = deliveries[which % Math.max(1, deliveries.length)]
  if (told === undefined) return
  await ledger.hookTried(told, outcome === 'delivered' ? { kind: outcome } : outcome === 'again' ? { kind: outcome, pauseMs, error: '500' } : { kind: outcome, error: 'timeout' })
}

/** The answers, by their places; one when all were refused, or duplicates are to be asked. */
async function gotBy (ledger: Ledger, given: readonly Admission[], first: Admission, claim?: ClaimOffer): Promise<readonly Admitted[]> {
  if (given.length === 1) return [await ledger.admit(first, claim)]
  const answer = await ledger.admitAll(given)
  return answer.outcome === 'all' ? answer.got : [answer]
}

async function take (ledger: Ledger, witness: Witness, step: Exclude<Step, { do: 'wait' | 'server' | 'admit' | 'admitAll' | 'mint' | 'revoke' | 'foreign' | 'tell' }>): Promise<unknown> {
  if (step.do === 'claim') {
    const claimId = `claim${step.claimId}`
    if (step.beats) await ledger.heartbeat(step.replica)
    const before = await ledger.gauges()
    const answer = await ledger.claim({ claimId, deadlineMs: ledger.now() + 1000, replica: step.replica, slots })
    if (answer.outcome === 'go') witness.grant(claimId, answer.row)
    assertSlots(before, await ledger.gauges())
    return answer
  }
  if (step.do === 'breaker') return ledger.breaker(step.scope, step)
  if (step.do === 'once') return ledger.once(step.what, step.forMs)
  if (step.do === 'sweep') return [await ledger.sweep(step.replica, step.max), await ledger.takeOutbox(step.max)]
  if (step.do === 'kept') return await keep(ledger, step)
  if (step.do === 'heartbeat') return await ledger.heartbeat(step.replica)
  if (step.do === 'takeOver') return await takeOver(ledger, step)
  if (step.do === 'list') {
    const cursor = step.after === null ? null : witness.rows()[step.after % Math.max(1, witness.rows().length)]?.id ?? null
    return ledger.list({ tenant: step.tenant, subject: step.subject }, { limit: step.limit, cursor, status: step.status })
  }
  if (step.do === 'renew') return renew(ledger, witness, step)

  const row = witness.pick(step.which)
  if (row === undefined) return null
  const { id, purchase, attempt } = row
  switch (step.do) {
    case 'withdraw': return ledger.withdraw([{ id: purchase, connection: step.connection === null ? null : { replica: 'r1', connection: step.connection }, ...(step.claimId === null ? {} : { claimId: `claim${step.claimId}` }) }])
    case 'recordAccepted': return ledger.recordAccepted(purchase, Math.max(1, attempt + step.off), requestIdOf(row, step.requestId), step.upstream)
    case 'recordNotSent': return ledger.recordNotSent(purchase, attempt, step.final ? { failure: unreachable, elsewhere: step.elsewhere } : { retryAfterMs: step.retryAfterMs, busy: step.busy }, step.report)
    case 'recordUnknown': return ledger.recordUnknown(purchase, attempt, step.requestId === null ? null : requestIdOf(row, step.requestId), traceLost, step.report, step.upstream)
    case 'recordProgress': return ledger.recordProgress(purchase, Math.max(1, attempt + step.off), requestIdOf(row, step.requestId), step.running ? { kind: 'running' } : { kind: 'queued', position: step.position }, linesOf(step.log), step.upstream)
    case 'recordDoubt': return ledger.recordDoubt(purchase, Math.max(1, attempt + step.off), requestIdOf(row, step.requestId), step.seen, linesOf(step.log), step.upstream)
    case 'files': {
      const was = row.media ?? []
      return [await ledger.takeMissing(step.took), await ledger.keepFiles(purchase, was, step.becomes === 'gone' ? [] : was.map(place => ({ ...place, file: place.file ?? step.becomes })))]
    }
    case 'erase': return ledger.erase(id, { tenant: step.tenant, subject: row.subject })
    case 'deadLinks': return ledger.noteDeadLinks(purchase)
    case 'tellAgain': return ledger.sendHooksAgain(id)
    case 'release': return ledger.release(step.replica, [purchase])
    case 'correct': return ledger.correct(purchase, step.cost)
    case 'settle': {
      const answer = await ledger.settle(purchase, step.billed)
      if (answer.outcome === 'settled') witness.settle(purchase)
      return answer
    }
    case 'cancel': {
      const answer = await ledger.cancel(id, { tenant: step.tenant, subject: row.subject })
      if (answer.outcome === 'cancelled') witness.letGo(id)
      return answer
    }
    case 'finish': {
      const learnedName = step.learned === null ? null : 'cache-' + step.learned
      const ending = step.kind === 'succeeded' ? successOf({ cost: step.cost, learnedName, files: step.files, bases: step.bases, media: step.media, ...(step.isLarge ? { output: largeOutput } : {}) }) : step.kind === 'failed' ? failureOf(step.cost) : { kind: step.kind, cost: step.cost }
      return [await ledger.finish(purchase, Math.max(1, attempt + step.off), requestIdOf(row, step.requestId), ending, linesOf(step.log), step.upstream), await ledger.aside(purchase)]
    }
    case 'seen': {
      const connection = step.connection === null ? null : { replica: 'r1', connection: step.connection }
      return step.left && connection !== null ? ledger.left(purchase, connection) : ledger.seen(purchase, connection)
    }
  }
}

/** What is given out to be removed is nobody's: it is not expected, and nothing refers to it unless it was taken out. */
async function keep (ledger: Ledger, { expects, bytes, maxBytes, takes, idleMs, keepMs, goes, withdraws, meets, isTaking }: Extract<Step, { do: 'kept' }>): Promise<unknown> {
  const expected = expects === null ? null : await ledger.expectFile(expects, bytes, maxBytes)
  const taken = takes === 0 ? [] : await ledger.takeOrphans(takes, { idleMs, keepMs, maxBytes })
  const { files } = await ledger.keptFiles(null)
  const wrong = taken.find(({ name }) => files.some(file => file.name === name && file.references > 0 && !file.isWithdrawn))
  if (wrong !== undefined) throw new Error(`${wrong.name} is to be removed, and something refers to it`)
  if (idleMs > 0 && expected === 'expected' && taken.some(({ name }) => name === expects)) throw new Error(`${expects} is to be removed, and was announced a moment ago`)
  const missed = goes ? await ledger.filesGone(taken) : []
  if (withdraws !== null) await ledger.withdrawFiles([withdraws])
  return [expected, taken, missed, meets === null ? null : await ledger.meetFiles([{ name: meets, bytes, ageMs: minute }], isTaking)]
}

/** Only what fal has accepted is given away before its lease runs out, and only of a replica that is another one. */
async function takeOver (ledger: Ledger, { replica, silent, max }: Extract<Step, { do: 'takeOver' }>): Promise<void> {
  const found = silent === null ? await ledger.heartbeat(replica) : [silent]
  for (const other of found) {
    const taken = await ledger.takeOver(replica, other, max)
    if (silent === null && taken.length === 0) throw new Error(`${other} is named as silent, and nothing of it can be taken over`)
    const wrong = taken.find(({ row }) => row.requestId === null || row.owner !== replica || row.takeovers === 0 || replica === other)
    if (wrong !== undefined) throw new Error(`${replica} took ${wrong.row.id} over, which is ${wrong.row.phase} with ${wrong.row.owner} for the ${wrong.row.takeovers}th time`)
  }
}

/** The id that fal gave: usually one that no other generation has. */
function requestIdOf ({ purchase, attempt }: Generation, name: string): string {
  return name === 'shared' ? name : `${purchase}-${attempt}-${name}`
}

function linesOf ({ from, count }: { readonly from: number, readonly count: number }): LogPiece {
  return { from, lines: Array.from({ length: count }, (_, n) => ({ message: `line ${from + n}`, timestamp: null, level: 'INFO' })) }
}

/** Signs of life; now and then the store lost something that one replica knew. */
async function renew (ledger: Ledger, witness: Witness, step: Extract<Step, { do: 'renew' }>): Promise<void> {
  const facts: Fact[] = witness.rows().filter(row => row.owner === step.replica).map(row => ({ row, terms: noTerms, holds: true }))
  const submitting = facts.find(({ row }) => row.phase === 'submitting')
  if (step.forge !== null && submitting !== undefined) {
    const { row } = submitting
    facts.push({ row: { ...row, phase: 'accepted', requestId: requestIdOf(row, step.forge), version: row.version + 3 }, terms: noTerms, holds: true })
  }
  const like = step.lost === null ? undefined : witness.pick(step.lost.which)
  if (step.lost !== null && like !== undefined && like.id === like.purchase) facts.push(lostFact(step.lost, like))
  const { rolledBack } = await ledger.renew(step.replica, facts)
  if (!step.restore) return
  const lost = facts.filter(({ row }) => rolledBack.includes(row.id))
  for (const { row, terms } of lost) witness.takes(row.id, terms)
  await ledger.restore(step.replica, lost)
  for (const row of await ledger.getMany(lost.map(({ row }) => row.id))) witness.meet(row)
}

/** A generation that the store does not have, like one that it has. */
function lostFact ({ requestId, holds, name, mode, learned, reuses }: NonNullable<Extract<Step, { do: 'renew' }>['lost']>, like: Generation): Fact {
  const id = freshId()
  const row: Generation = { ...like, id, purchase: id }
  const terms = {
    ...noTerms,
    mode,
    cacheName: reuses && mode === 'normal' ? 'reuse-' + name : 'cache-' + name,
    reuseName: 'reuse-' + name,
    learnedName: learned ? 'cache-b' : null,
    duplicateName: `duplicate-${like.tenant}-${like.subject}-${name}`,
    idempotencyName: `key-${like.tenant}-${like.subject}-${name}`,
    fingerprint: name,
    keyless: false
  }
  // What waits has no id, and what fal accepted has one.
  const given = row.phase === 'waiting' ? null : requestId === null && row.requestId === null && row.phase !== 'accepted' && row.phase !== 'running' ? null : requestIdOf(row, requestId ?? 'x')
  return { row: { ...row, requestId: given }, terms, holds }
}

async function money (ledger: Ledger): Promise<{ owner: string, budget: number, held: number, spent: number }[]> {
  const balances = await ledger.balances([{ owner: 'studio', per: 'day' }, { owner: 'agency', per: 'day' }, { owner: '*', per: 'month' }])
  return balances.map(({ owner, held, spent }) => ({ owner, budget: owner === '*' ? 2 * limit : limit, held, spent }))
}

function same (one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}

interface Witness {
  readonly ids: () => string[]
  readonly rows: () => Generation[]
  readonly pick: (which: number) => Generation | undefined
  readonly meet: (row: Generation) => void
  readonly buy: (given: Admission, row: Generation) => void
  /** A row was met that takes cache names when it succeeds, whoever has them then: with `refresh` its own, and that of reuse. */
  readonly takes: (id: string, names: Pick<Terms, 'mode' | 'cacheName' | 'reuseName'>) => void
  /** An operator's word, which an output that is found corrects. */
  readonly settle: (id: string) => void
  readonly bind: (name: string, row: Generation, isBought: boolean, nowMs: number) => void
  /** A reader let go of this id. */
  readonly letGo: (id: string) => void
  readonly grant: (claimId: string, row: Generation) => void
  readonly compare: (rows: readonly Generation[]) => void
}

/** Remembers what it was told, and objects when the past changes, an attempt is granted twice or a name buys twice. */
function createWitness (isMortal: boolean): Witness {
  const rows = new Map<string, Generation>()
  const aliases: Generation[] = []
  const grants = new Map<string, string>()
  const admissions = new Map<string, Admission>()
  /** Generations that once were free to be bought again; what comes of them later is no fault. */
  const excused = new Set<string>()
  /** The cache names that purchases take when they succeed, and the purchases that such a name no longer led to once that had happened. */
  const taking = new Map<string, readonly (string | null)[]>()
  const displaced = new Set<string>()
  /** What keys were answered with first, and when. */
  const bound = new Map<string, { readonly row: Generation, readonly atMs: number }>()
  const letGo = new Set<string>()

  const settled = new Set<string>()

  /** What of a row changes with its version only. In which order its members stand says nothing. */
  function lasting (row: Generation): ReadonlyArray<readonly [string, unknown]> {
    const members = { ...row, stored: 0, queuePosition: 0, delivered: 0, ...(isMortal ? { connection: 0 } : {}) }
    return Object.entries(members).toSorted(([one], [other]) => one < other ? -1 : 1)
  }

  function compareOne (row: Generation): void {
    const before = rows.get(row.id)
    rows.set(row.id, row)
    if (row.phase === 'unknown' || row.cost === 0 || row.cancelWished) excused.add(row.id)
    if (row.phase === 'succeeded' && before?.phase !== 'succeeded') displace(row)
    if (before === undefined) return
    if (row.version < before.version) throw new Error(`${row.id} went back from version ${before.version} to ${row.version}`)
    // That it was delivered is noted without a word, and for good.
    if (row.version === before.version && ((before.delivered && !row.delivered) || !same(lasting(before), lasting(row)))) throw new Error(`${row.id} changed silently`)
    if (row.attempt < before.attempt) throw new Error(`${row.id} forgot attempt ${before.attempt}`)
    if (before.finishedAtMs === null) return
    if (settled.has(row.id) && before.phase === 'failed' && row.phase === 'succeeded') {
      settled.delete(row.id)
      return
    }
    if (row.phase !== before.phase || row.output !== before.output) throw new Error(`${row.id} ended as ${before.phase} and became ${row.phase}`)
    if ((row.cost ?? 0) < (before.cost ?? 0) && !row.corrected) throw new Error(`${row.id} became cheaper`)
  }

  function displace ({ id: succeeded }: Generation): void {
    const names = taking.get(succeeded) ?? []
    for (const [id, { cacheName }] of admissions) if (id !== succeeded && cacheName !== null && names.includes(cacheName)) displaced.add(id)
  }

  function takes (id: string, { mode, cacheName, reuseName }: Pick<Terms, 'mode' | 'cacheName' | 'reuseName'>): void {
    if (mode !== 'bypass') taking.set(id, mode === 'refresh' ? [cacheName, reuseName] : [reuseName])
  }

  function compareNames (): void {
    const open = new Map<string, Generation>()
    for (const [id, { mode, cacheName, idempotency }] of admissions) {
      const row = rows.get(id)
      if (row === undefined || excused.has(id)) continue
      const isUnderWay = row.phase === 'waiting' || isAtUpstream(row.phase)
      const name = idempotency?.name ?? (mode === 'normal' && isUnderWay && !displaced.has(id) ? cacheName : null)
      if (name === null) continue
      const other = open.get(name)
      const isSecond = other !== undefined && (idempotency === null || row.createdAtMs - other.createdAtMs < ledgerConstants.idempotencyMs)
      if (isSecond) throw new Error(`${name} bought ${other.id} and ${id}`)
      open.set(name, row)
    }
  }

  return {
    ids: () => [...rows.keys()],
    rows: () => [...rows.values()],
    pick: which => {
      const all = [...rows.values(), ...aliases]
      return all[which % Math.max(1, all.length)]
    },
    meet: row => {
      if (row.id === row.purchase) compareOne(row)
      else aliases.push(row)
    },
    settle: id => { settled.add(id) },
    buy: (given, row) => {
      admissions.set(row.id, given)
      takes(row.id, given)
    },
    takes,
    bind: (name, row, isBought, nowMs) => {
      if (isBought && admissions.has(row.id)) return // told once more
      const before = bound.get(name)
      const holds = before !== undefined && nowMs - before.atMs < ledgerConstants.idempotencyMs
      const isFree = before === undefined || before.row.purchase === row.purchase || excused.has(before.row.purchase) || letGo.has(before.row.id)
      if (isBought && holds && !isFree) throw new Error(`${name} stood for ${before.row.purchase} and bought ${row.id}`)
      if (!holds || isBought) bound.set(name, { row, atMs: nowMs })
    },
    letGo: id => { letGo.add(id) },
    grant: (claimId, row) => {
      const attempt = `${row.id}/${row.attempt}`
      const other = grants.get(attempt)
      if (other !== undefined && other !== claimId) throw new Error(`${attempt} was granted to ${other} and ${claimId}`)
      grants.set(attempt, claimId)
    },
    compare: found => {
      // What gave way to a row that came back is an alias now.
      const own = found.filter(row => row.id === row.purchase)
      for (const row of found) if (row.id !== row.purchase) aliases.push(row)
      for (const row of own) compareOne(row)
      const present = new Set(own.map(row => row.id))
      for (const id of rows.keys()) {
        if (present.has(id)) continue
        if (rows.get(id)?.phase === 'unknown') throw new Error(`${id} was unknown and is forgotten`)
        rows.delete(id)
      }
      compareNames()
    }
  }
}
