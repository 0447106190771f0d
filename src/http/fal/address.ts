// Which address of fal's doors a request means: without trailing slashes, and for the proxy the one that its target stands for.

import { falHeaders } from '../../fal-wire/headers.ts'
import { parseQueuePath } from '../../fal-wire/queue-path.ts'
import { isEndpointId } from '../../models/endpoint-id.ts'
import type { ModelBook } from '../../models/models.ts'
import type { FalHosts, RawRequest } from './hosts.ts'

/** Where all of fal's doors are. */
export const FAL_PREFIX = '/fal'

/** Where clients send what is meant for another address; the second one is what fal's JavaScript client takes unless told otherwise. */
const proxyPaths = new Set([`${FAL_PREFIX}/proxy`, '/api/fal/proxy'])

/** Where a proxied request goes, or why it does not. */
export type Target = { readonly url: string } | { readonly refusal: string }

const RUN_HOST = 'fal.run'
const QUEUE_HOST = 'queue.fal.run'

/** Longer than any address that fal's clients make. */
const MAX_TARGET_CHARACTERS = 2048

/** The address that a request is routed by. Never throws, because it runs before anything could answer. */
export function routedUrl (raw: RawRequest, models: ModelBook, hosts: FalHosts): string {
  const atHost = hosts.addressOf(raw)
  if (atHost !== null) return withoutSlash(FAL_PREFIX + atHost)
  const { url = '/', headers } = raw
  if (!isFalAddress(url)) return url
  const plain = withoutSlash(url)
  if (!proxyPaths.has(pathOf(plain))) return plain
  const target = targetOf(headers[falHeaders.targetUrl], models)
  return 'url' in target ? target.url : `${FAL_PREFIX}/proxy`
}

function pathOf (url: string): string {
  const queryAt = url.indexOf('?')
  return queryAt === -1 ? url : url.slice(0, queryAt)
}

/** An address whose path does not end with a slash, as fal's clients may write it. */
function withoutSlash (url: string): string {
  const path = pathOf(url)
  return path.endsWith('/') ? path.slice(0, -1) + url.slice(path.length) : url
}

/** What a caller is told who sends fal's paths to the gateway's root; `null`: it is none of them. */
export function hintAtRoot (path: string, models: ModelBook): string | null {
  const plain = path.slice(1).replace(/^queue\//, '')
  const { endpointId } = parseQueuePath(plain)
  const isOffered = models.find(endpointId) !== undefined
  if (!isEndpointId(endpointId) || !(isOffered || plain.startsWith('fal-ai/'))) return null
  return `fal's own paths are below ${FAL_PREFIX} and ${FAL_PREFIX}/queue here; the gateway's own call is POST /generate/${endpointId}.`
}

/** Is it answered in fal's manner? */
export function isFalAddress (url: string): boolean {
  return /^(?:\/fal|\/api\/fal\/proxy)(?:[/?]|$)/.test(url)
}

/**
 * Where the target of a proxied request is served here: only what fal's clients send for a model on offer. It is compared as `URL` reads it, so that
 * `https:\\fal.run\…` is served, too; nothing is ever sent to a target.
 */
export function targetOf (header: string | string[] | undefined, models: ModelBook): Target {
  if (typeof header !== 'string' || header === '') return { refusal: `Send the address that is meant in ${falHeaders.targetUrl}.` }
  if (header.length > MAX_TARGET_CHARACTERS || !URL.canParse(header)) return { refusal: `${falHeaders.targetUrl} is no address.` }
  const target = new URL(header)
  if (target.protocol !== 'https:') return { refusal: 'Only https targets are served.' }
  if (target.username !== '' || target.password !== '' || target.port !== '') return { refusal: 'A target has neither user nor port.' }
  const path = target.pathname.slice(1).replace(/\/$/, '')
  switch (target.hostname) {
    case RUN_HOST: return runTarget(path, target.search, models)
    case QUEUE_HOST: return queueTarget(path, target.search, models)
    default: return { refusal: refusalOfHost(target) }
  }
}

function runTarget (path: string, search: string, models: ModelBook): Target {
  if (models.find(path) !== undefined) return { url: `${FAL_PREFIX}/${path}${search}` }
  if (/\/(?:realtime|ws)$/.test(path)) return { refusal: REALTIME }
  if (path.endsWith('/stream')) return { refusal: 'No model on offer streams its result; stream the status of a queued request.' }
  return { refusal: UNKNOWN_MODEL }
}

function queueTarget (path: string, search: string, models: ModelBook): Target {
  const parsed = parseQueuePath(path)
  // What was submitted is asked about also when its model is not on offer any more, or only on another replica.
  if (parsed.operation === 'submit' ? models.find(parsed.endpointId) === undefined : !isEndpointId(parsed.endpointId)) return { refusal: UNKNOWN_MODEL }
  return { url: `${FAL_PREFIX}/queue/${path}${search}` }
}

const UNKNOWN_MODEL = 'The target is no model on offer, spelt as in its endpoint id.'
const REALTIME = 'Realtime models are not offered.'

function refusalOfHost ({ hostname, pathname }: URL): string {
  if (hostname === 'ws.fal.run') return REALTIME
  if (/^rest\.(?:alpha\.)?fal\.ai$/.test(hostname)) return pathname.startsWith('/tokens') ? 'Tokens for fal itself are not given out; realtime models and streams past the gateway are not offered.' : UPLOADS
  if (/(?:^|\.)fal\.media$/.test(hostname)) return UPLOADS
  return `Only ${RUN_HOST} and ${QUEUE_HOST} are served.`
}

const UPLOADS = 'Files are neither uploaded nor fetched through the gateway: models that take files take their addresses, data: ones too, and pictures are read at their own.'
