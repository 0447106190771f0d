// Why a host was not reached, as a sentence for operators: by the code alone, which holds nothing of what was sent.

import { NOT_HTTP, type NoAnswer } from './exchange.ts'

const NAME_CODES = new Set(['ENOTFOUND', 'EAI_AGAIN', 'EAI_NODATA', 'EAI_NONAME'])
const CERTIFICATE = /CERT|SELF_SIGNED|VERIFY|ALTNAME|UNABLE_TO_GET_ISSUER/

/** `timeoutMs`: how long it was waited for. */
export function unreachable (host: string, { why, code }: Pick<NoAnswer, 'why' | 'code'>, timeoutMs: number): string {
  if (why === 'aborted') return `${host} was not waited for.`
  if (code.startsWith('PROXY_')) return `${host} cannot be reached through the proxy of HTTPS_PROXY (${code.slice('PROXY_'.length)}).`
  if (why === 'timeout') return `${host} did not answer within ${timeoutMs / 1000} seconds.`
  if (NAME_CODES.has(code)) return `The name ${host} cannot be resolved (${code}).`
  if (code === NOT_HTTP) return `${host} does not speak HTTP.`
  if (CERTIFICATE.test(code)) return `${host} has no certificate that is trusted here (${code}).`
  if (code === 'EPROTO' || code.startsWith('ERR_SSL')) return `${host} does not speak TLS, or not one that is spoken here (${code}).`
  return `${host} cannot be reached (${code}).`
}
