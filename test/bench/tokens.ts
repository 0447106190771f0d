// What browser tokens cost beside keys: a hit with one, and giving one out.

import { measurePair, spreadOf, type Pair, type Spread } from './against.ts'
import { check, falgateHit, startGateway, type Contestant, type Gateway, type Ground } from './contestants.ts'
import { flood, openLine } from './load.ts'
import { median, type Bound } from './report.ts'
import { bearer, fill, post, sameInput, tenantId } from './requests.ts'

/** A tenant has a bounded number of live tokens, so that many tenants give them out. */
const TENANTS = 100

/** One round of a noisy machine says little, so there are at least these. */
const LEAST_ROUNDS = 3

const MOST_HIT = 1.1
const MOST_GIVING = 1.5

export interface TokenCosts { readonly rows: readonly (readonly string[])[], readonly bounds: readonly Bound[] }

export async function tokenCosts (ground: Ground, connections: number, wantedRounds: number, seconds: number, progress: (said: string) => void): Promise<TokenCosts> {
  const rounds = Math.max(wantedRounds, LEAST_ROUNDS)
  const gateway = await startGateway(ground, { name: 'tokens', tenants: TENANTS })
  const byKey = falgateHit(gateway)
  const others = [await hitWithToken(gateway), giving(gateway)] as const
  for (const contestant of [byKey, ...others]) {
    await check(contestant)
    await flood(contestant.port, contestant.request, connections, seconds)
  }
  const pairs = others.map(contestant => ({ contestant, measured: new Array<Pair>() }))
  for (let round = 0; round < rounds; round++) {
    for (const { contestant, measured } of pairs) {
      progress(`round ${round + 1} of ${rounds}: ${contestant.name}, and a hit with a key`)
      measured.push(await measurePair(contestant, byKey, connections, seconds, round))
    }
  }
  await gateway.stop()
  const found = pairs.map(({ contestant: { name }, measured }) => ({ name, measured, ratio: spreadOf(measured.map(({ one, other }) => one.cpuUs / other.cpuUs)) }))
  const bound = (name: string, { median }: Spread, most: number): Bound => ({ name, isKept: median <= most, found: median.toFixed(3) })
  const [hit, given] = found.map(({ ratio }) => ratio)
  return {
    rows: found.map(({ name, measured, ratio }) => [name, cpu(measured, 'one'), cpu(measured, 'other'), ratio.median.toFixed(3), `${ratio.low.toFixed(3)} to ${ratio.high.toFixed(3)}`]),
    bounds: [
      ...(hit === undefined ? [] : [bound(`a hit with a token costs at most ${MOST_HIT} of one with a key`, hit, MOST_HIT)]),
      ...(given === undefined ? [] : [bound(`giving out a token costs at most ${MOST_GIVING} times a hit`, given, MOST_GIVING)])
    ]
  }
}

function cpu (measured: readonly Pair[], which: keyof Pair): string {
  return median(measured.map(pair => pair[which].cpuUs)).toFixed(1)
}

function giving ({ port, pid }: Gateway): Contestant {
  return {
    name: 'POST /tokens',
    what: 'a token is given out, and kept on Redis (appendfsync always)',
    port,
    pid,
    request: post('/tokens', '{"pictures":3,"expires_in":1}', bearer(`tenant{n${TENANTS}}`)),
    fault: ({ status, body }) => status === 201 && body.includes('"token":"fgt_') ? null : body
  }
}

async function hitWithToken (gateway: Gateway): Promise<Contestant> {
  const line = await openLine(gateway.port)
  const { status, body } = await line.ask(fill(post('/tokens', '{"pictures":3,"expires_in":3600}', bearer(tenantId(0))).text, 0))
  line.close()
  const [, token] = /"token":"([^"]+)"/.exec(body) ?? []
  if (token === undefined) throw new Error(`no token was given out: ${status} ${body}`)
  return { ...falgateHit(gateway), name: 'a hit with a token', request: post('/generate', sameInput, { authorization: `Bearer ${token}` }) }
}
