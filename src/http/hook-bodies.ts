// What a webhook tells: a generation as `GET /generations/{id}` shows it, or a request as fal's webhooks do.

import type { DueHook } from '../generation/hooks.ts'
import type { Generation } from '../generation/generation.ts'
import type { Addresses } from '../generation/served-output.ts'
import { statusOf } from '../generation/phases.ts'
import { failureOf } from './fal/render.ts'
import { rowWith } from './file-addresses.ts'
import { generationJson } from './generation-view.ts'

export interface HookBodiesDeps {
  /** What is put into outputs for who reaches the gateway at a base; `null`: nothing. */
  readonly addressesAt: ((base: string) => Addresses) | null
  readonly now: () => number
}

export function createHookBodies ({ addressesAt, now }: HookBodiesDeps): (hook: DueHook) => Buffer {
  return hook => {
    const row = rowWith(hook.row, addressesAt === null ? null : addressesAt(hook.base))
    return Buffer.from(hook.form === 'fal' ? falBody(hook, row) : nativeBody(hook, row, now()))
  }
}

/** Of an output above 256 KiB the address tells where it is. Of an `unknown` it is not known when it came about. */
function nativeBody ({ id, generation, base }: DueHook, row: Generation, nowMs: number): string {
  const head = { type: `generation.${statusOf(row.phase)}`, timestamp: new Date(row.finishedAtMs ?? nowMs).toISOString(), url: `${base}/generations/${generation}` }
  return `${JSON.stringify(head).slice(0, -1)},"data":${generationJson(row, id)}}`
}

/** The members that fal documents. Nothing that is repeated here has another id, so both are the same. */
function falBody ({ generation }: DueHook, row: Generation): string {
  const ids = { request_id: generation, gateway_request_id: generation }
  if (row.phase !== 'succeeded') {
    const { status, body } = failureOf(row)
    return JSON.stringify({ ...ids, status: 'ERROR', error: `Invalid status code: ${status}`, payload: body })
  }
  if (row.output !== null) return `${JSON.stringify({ ...ids, status: 'OK' }).slice(0, -1)},"payload":${row.output}}`
  const why = row.large === null ? 'The output is not kept any more.' : `The output has ${row.large.bytes} bytes, more than a webhook carries. Fetch the result of the request from the queue.`
  return JSON.stringify({ ...ids, status: 'OK', payload: null, payload_error: why })
}
