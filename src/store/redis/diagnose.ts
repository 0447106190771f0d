// Why a Redis that was never reached cannot be: what answers at its address is often something else than what the settings say. Nothing secret is sent to find out.

import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { Unusable } from './redis-errors.ts'

/** Where a client connects to, and as what. */
export interface Address {
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

function clusterWords (message: string): string | null {
  if (/cluster support disabled/.test(message)) return 'REDIS_CLUSTER is on, and REDIS_URL leads to a server that is no node of a cluster: set REDIS_CLUSTER to off, or let REDIS_URL lead to a node'
  return /unknown command '?cluster/i.test(message) ? 'REDIS_CLUSTER is on, and what answers at REDIS_URL knows nothing of clusters; it may be a Sentinel' : null
}

function certificateWords (code: string): string | null {
  if (!untrusted.test(code)) return null
  return `REDIS_URL leads to a server whose certificate is not believed (${code}): let REDIS_CA_FILE name the certificate that vouches for it, and the host in REDIS_URL be a name that stands in it`
}

async function wordsAt (address: Address): Promise<string | null> {
  const said = await firstWordsAt(address)
  if (said !== null && said.startsWith('-DENIED')) {
    return 'REDIS_URL leads to a Redis in protected mode, which talks to its own machine only: give its user a password (requirepass, ACL SETUSER), or set protected-mode no where nobody else can reach it'
  }
  if (said !== null && /^HTTP\//.test(said)) return 'REDIS_URL leads to something that speaks HTTP, and not to a Redis'
  const isPlain = said !== null && /^[+-]/.test(said)
  if (address.isTls) return isPlain ? 'REDIS_URL begins with rediss://, and the server there does not speak TLS: write redis://, or let it lead to the port for TLS' : null
  return !isPlain && await speaksTls(address) ? 'REDIS_URL begins with redis://, and the server there speaks TLS: write rediss://' : null
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

async function speaksTls ({ host, port }: Address): Promise<boolean> {
  return await new Promise(resolve => {
    // Nothing is said over this connection, so it does not matter whose it is.
    const socket = connectTls({ host, port, rejectUnauthorized: false })
    const end = (isTls: boolean): void => {
      socket.destroy()
      resolve(isTls)
    }
    socket.setTimeout(ANSWER_WITHIN_MS, () => { end(false) })
    socket.on('secureConnect', () => { end(true) })
    socket.on('error', () => { end(false) })
    socket.on('close', () => { end(false) })
  })
}

function codeOf (error: Error): string {
  return 'code' in error ? String(error.code) : ''
}
