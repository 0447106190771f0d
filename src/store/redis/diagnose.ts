// Why a Redis that was never reached cannot be: what answers at its address is often something else than what the settings say. Nothing secret is sent to find out.

import { connect } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import type { Sentinels } from '../../setting-kinds.ts'
import { Unusable } from './redis-errors.ts'

/** Where a client connects to, and as what. */
export interface Address {
  /** Where that was written. */
  readonly setting: 'REDIS_URL' | 'REDIS_SENTINELS'
  readonly host: string
  readonly port: number
  readonly isTls: boolean
  readonly isCluster: boolean
}

/** What an address says to a stranger may take this long. */
const ANSWER_WITHIN_MS = 1000

/** Node's codes for a certificate that is not believed. */
const untrusted = /^(?:SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_\w+|CERT_\w+|ERR_TLS_CERT_ALTNAME_INVALID)$/

/** Something is there that does not answer. These codes say that nothing is, or that it cannot be reached, which is clear enough. */
const clear = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'])

/** Does an error say by itself that nothing is there? */
export function isAbsence (error: Error): boolean {
  return clear.has(codeOf(error))
}

/** What is wrong with an address at which a client failed with this error, as far as that can be found out; `null`: the error says it. Never rejects. */
export async function diagnose (address: Address, error: Error): Promise<Unusable | null> {
  const words = clusterWords(error.message) ?? certificateWords(codeOf(error)) ?? (isAbsence(error) ? null : await wordsAt(address))
  return words === null ? null : new Unusable(words)
}

/** The same where Sentinels are asked for the primary first; `ca` vouches for them (PEM), or `null`: the system does. */
export async function diagnoseSentinels ({ hosts, isTls }: Sentinels, ca: string | null, error: Error): Promise<Unusable | null> {
  const words = sentinelWords(error)
  if (words !== null) return new Unusable(words)
  if (!ofSentinels.test(error.message)) return null
  for (const host of hosts) {
    const address = { setting: 'REDIS_SENTINELS', isCluster: false, isTls, ...host } as const
    // Of a Sentinel that is not believed ioredis tells only that the connection is closed.
    const found = await wordsAt(address) ?? (isTls ? doubtWords(await certificateDoubt(address, ca)) : null)
    if (found !== null) return new Unusable(found)
  }
  return null
}

/** How ioredis begins when none of them named a primary; what the last one that failed did stands behind it. */
const ofSentinels = /^All sentinels are unreachable\b/

function sentinelWords (error: Error): string | null {
  const { message } = error
  if (!ofSentinels.test(message)) {
    const code = codeOf(error)
    return untrusted.test(code) ? `the primary that the Sentinels name shows a certificate that is not believed (${code}): let REDIS_CA_FILE name the certificate that vouches for it, and the address by which the Sentinels know it stand in it` : null
  }
  const [, last] = /Last error: (.*)$/s.exec(message) ?? []
  if (last === undefined || /^ERR No such (?:master|primary)\b/.test(last)) return 'REDIS_URL, REDIS_SENTINELS: the Sentinels know no primary by the name that stands in REDIS_URL in place of a host'
  if (/^NOAUTH\b/.test(last)) return 'REDIS_SENTINELS: the Sentinels want a password of their own: write redis://:password@ in front of the first of them, or rediss:// where they speak TLS'
  if (/^WRONGPASS\b/.test(last)) return 'REDIS_SENTINELS: the Sentinels do not take the password that stands there, or its user'
  if (/^NOPERM\b/.test(last)) return 'REDIS_SENTINELS: the user there may not ask the Sentinels: allow it +sentinel|get-master-addr-by-name, +subscribe and the channel +switch-master (ACL SETUSER)'
  return null
}

function doubtWords (doubt: string | null): string | null {
  return doubt === null ? null : `REDIS_SENTINELS leads to a server whose certificate is not believed (${doubt}): let REDIS_CA_FILE name the certificate that vouches for it, and the hosts in REDIS_SENTINELS be names that stand in it`
}

function clusterWords (message: string): string | null {
  if (/cluster support disabled/.test(message)) return 'REDIS_CLUSTER is on, and REDIS_URL leads to a server that is no node of a cluster: set REDIS_CLUSTER to off, or let REDIS_URL lead to a node'
  return /unknown command '?cluster/i.test(message) ? 'REDIS_CLUSTER is on, and what answers at REDIS_URL knows nothing of clusters; it may be a Sentinel' : null
}

function certificateWords (code: string): string | null {
  if (!untrusted.test(code)) return null
  return `REDIS_URL leads to a server whose certificate is not believed (${code}): let REDIS_CA_FILE name the certificate that vouches for it, and the host in REDIS_URL be a name that stands in it`
}

async function wordsAt (address: Address): Promise<string | null> {
  const { setting } = address
  const said = await firstWordsAt(address)
  if (said !== null && said.startsWith('-DENIED')) {
    return `${setting} leads to a Redis in protected mode, which talks to its own machine only: give its user a password (requirepass, ACL SETUSER), or set protected-mode no where nobody else can reach it`
  }
  if (said !== null && /^HTTP\//.test(said)) return `${setting} leads to something that speaks HTTP, and not to a Redis`
  const isPlain = said !== null && /^[+-]/.test(said)
  if (address.isTls) return isPlain ? `${setting} begins with rediss://, and the server there does not speak TLS: write redis://, or let it lead to the port for TLS` : null
  return !isPlain && await speaksTls(address) ? `${setting} ${setting === 'REDIS_URL' ? 'begins with redis://' : 'does not begin with rediss://'}, and the server there speaks TLS: write rediss://` : null
}

/** What is answered to a PING without TLS; `null`: nothing. */
async function firstWordsAt ({ host, port }: Address): Promise<string | null> {
  return await new Promise(resolve => {
    const socket = connect(port, host)
    const end = (said: string | null): void => {
      socket.destroy()
      resolve(said)
    }
    socket.setTimeout(ANSWER_WITHIN_MS, () => { end(null) })
    socket.on('connect', () => { socket.write('PING\r\n') })
    socket.on('data', data => { end(data.toString('latin1', 0, 100)) })
    socket.on('error', () => { end(null) })
    socket.on('close', () => { end(null) })
  })
}

async function speaksTls (address: Address): Promise<boolean> {
  return await shakenHands(address, null, () => true) ?? false
}

/** Why the certificate there is not believed, in Node's code; `null`: it is, or there is none. */
async function certificateDoubt (address: Address, ca: string | null): Promise<string | null> {
  return await shakenHands(address, ca, ({ authorized, authorizationError }) => authorized ? null : String(authorizationError))
}

/** What a connection over TLS shows; `null`: there was none. */
async function shakenHands<Seen> ({ host, port }: Address, ca: string | null, look: (socket: TLSSocket) => Seen): Promise<Seen | null> {
  return await new Promise(resolve => {
    // Nothing is said over this connection, so it does not matter whose it is.
    const socket = connectTls({ host, port, rejectUnauthorized: false, ...(ca === null ? {} : { ca }) })
    const end = (seen: Seen | null): void => {
      socket.destroy()
      resolve(seen)
    }
    socket.setTimeout(ANSWER_WITHIN_MS, () => { end(null) })
    socket.on('secureConnect', () => { end(look(socket)) })
    socket.on('error', () => { end(null) })
    socket.on('close', () => { end(null) })
  })
}

function codeOf (error: Error): string {
  return 'code' in error ? String(error.code) : ''
}
