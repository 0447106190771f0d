// `/control`: faults, holding and the bill for tests in other processes.

import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { guardOf, isObject, misfitsOf } from '../schema.ts'
import { detail, json, type Answer } from './answers.ts'
import type { Bill } from './bill.ts'
import { Fault, faultOf, kinds } from './fault-schema.ts'
import type { Faults } from './faults.ts'

const MAX_FAULTS = 1_000
const FaultList = Type.Array(Fault, { maxItems: MAX_FAULTS })
const isFaultList = guardOf(FaultList)

export interface ControlOptions {
  readonly bill: Bill
  readonly faults: Faults
}

/** Adds the routes of `/control` to `app`. */
export function addControlRoutes (app: FastifyInstance, { bill, faults }: ControlOptions): void {
  let release: (() => void) | null = null

  function answer (method: 'GET' | 'PUT' | 'DELETE', url: string, act: (body: unknown) => Answer): void {
    app.route({
      method,
      url,
      handler: async (request, reply) => {
        const { status, headers, body } = act(request.body)
        return reply.code(status).headers(headers).send(body)
      }
    })
  }

  function faultsNow (): Answer {
    return json(200, { faults: faults.list.map(({ fault, hits }) => ({ ...fault, hits })) })
  }

  answer('GET', '/control/faults', faultsNow)

  /** One fault or a list; they take the place of those before. */
  answer('PUT', '/control/faults', body => {
    const wanted = parse(body)
    if (wanted === undefined) return detail(422, 'The body is not JSON: expected a fault, or a list of faults')
    const list = Array.isArray(wanted) ? wanted : [wanted]
    if (!isFaultList(list)) return detail(422, firstError(list))
    faults.clear()
    for (const fault of list) faults.add(fault)
    return faultsNow()
  })

  answer('DELETE', '/control/faults', () => {
    faults.clear()
    return faultsNow()
  })

  function holdsNow (): Answer {
    return json(200, { held: faults.holds > 0 })
  }

  answer('GET', '/control/hold', holdsNow)

  answer('PUT', '/control/hold', () => {
    release ??= faults.holdJobs()
    return holdsNow()
  })

  answer('DELETE', '/control/hold', () => {
    release?.()
    release = null
    return holdsNow()
  })

  function billNow (): Answer {
    const { submits, accepted, billedUnits, cancels, requests } = bill
    return json(200, { submits, accepted, billedUnits, cancels, requests })
  }

  answer('GET', '/control/bill', billNow)

  answer('DELETE', '/control/bill', () => {
    bill.reset()
    return billNow()
  })
}

function parse (body: unknown): unknown {
  try {
    return JSON.parse(String(body))
  } catch {
    return undefined
  }
}

/** What is wrong with the first fault that is none, judged by the kind that it says. */
function firstError (list: readonly unknown[]): string {
  for (const [index, fault] of list.entries()) {
    if (!isObject(fault)) return `/${index}: expected an object, a fault`
    const schema = faultOf(fault['kind'])
    if (schema === null) return `/${index}/kind: expected one of ${kinds.join(', ')}`
    const [misfit] = misfitsOf(schema, fault)
    if (misfit === undefined) continue
    const { path, kind, description, message } = misfit
    const sentence = kind === 'missing' ? 'is missing' : kind === 'unknown' ? 'is no field of a fault of this kind' : description === null ? message : `expected ${description}`
    return `/${index}${path}: ${sentence}`
  }
  return `expected at most ${MAX_FAULTS} faults`
}
