// A look at a Redis from outside the ledger: what could be wrong with it, without writing anything.

import { Problem } from '../../errors.ts'
import { recordOf, textOf } from '../../generation/fields.ts'
import type { StoreFault } from '../../store-faults.ts'
import { accountText, foreignLedgerSentence, UNMARKED_LEDGER, type UpstreamAccount } from '../../upstream-account.ts'
import { selectDatabase, serverAt, type RedisClient, type RedisServer } from './clients.ts'
import { serverOf } from './cluster.ts'
import { createConnection } from './connection.ts'
import { placeOf } from './ownership.ts'
import { Unusable } from './redis-errors.ts'
import { readScripts } from './script.ts'
import { faultsOf, readInfo } from './server.ts'
import { textsIn } from './wire-rows.ts'

/** What a look found out; `cause` is why there was none. */
export type Inspected =
  | { readonly isReached: true, readonly faults: ReadonlyMap<StoreFault, string> }
  | { readonly isReached: false, readonly cause: unknown }

const DEADLINE_MS = 800

/** Looks at the server that has the keys of this namespace, as a process of this account would find it, and gives up after `withinMs`. Never rejects. */
export async function inspect (url: string | RedisServer, namespace: string, account: UpstreamAccount, withinMs: number): Promise<Inspected> {
  const server = typeof url === 'string' ? serverAt(url, DEADLINE_MS) : url
  let faults: ReadonlyMap<StoreFault, string> = new Map()
  const connection = createConnection({
    server,
    deadlineMs: DEADLINE_MS,
    prepare: async client => {
      await selectDatabase(client, server.database)
      const facts = readInfo(await serverOf(client, `{${namespace}}:`).info())
      const { isCluster } = server
      const ofKind = faultsOf(facts, { isCluster })
      const kind = ofKind.get('wrong-kind')
      // A Sentinel knows none of the commands that follow, and a node of a cluster may not have the keys.
      if (kind !== undefined) throw new Unusable(kind)
      const found = faultsOf(facts, { isCluster, missing: await missingRights(client, namespace) })
      const ledger = await ledgerIn(client, namespace)
      const isForeign = ledger !== null && ledger !== accountText(account)
      faults = isForeign ? new Map([...found, ['foreign', foreignLedgerSentence(ledger, account, placeOf(namespace))]]) : found
    },
    onTrouble: () => {},
    onState: () => {}
  })
  try {
    await connection.open(withinMs)
    return { isReached: true, faults }
  } catch (error) {
    return { isReached: false, cause: error instanceof Problem ? error.facts.cause : error }
  } finally {
    connection.close()
  }
}

/** The commands that this user may not run, as far as that can be found out: one that may not run EVAL is told when the gateway starts. */
async function missingRights (client: RedisClient, namespace: string): Promise<readonly string[]> {
  const { script } = readScripts().unbounded
  try {
    const keys = [`{${namespace}}:glob`, `{${namespace}}:nothing`] as const
    const { answer } = recordOf(JSON.parse(textOf(await client.eval(script.source, keys.length, ...keys, 'ping', '{}', '{"rights":true}', ''))))
    return textsIn(answer)
  } catch {
    return []
  }
}

/** Whose ledger it is, as the scripts see it; `null`: it is empty. */
async function ledgerIn (client: RedisClient, namespace: string): Promise<string | null> {
  const [upstream, sequence, counter] = await client.hmget(`{${namespace}}:glob`, 'upstream', 'sequence', 'counter')
  return upstream ?? (sequence == null && counter == null ? null : UNMARKED_LEDGER)
}
