// `/control`: faults, holding and the bill for tests in other processes.

import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { guardOf, misfitsOf } from '../schema.ts'
import { detail, json, type Answer } from './answers.ts'
import type { Bill } from './bill.ts'
import { Fault } from './fault-schema.ts'
import type { Faults } from './faults.ts'

const FaultList = Type.Array(Fault, { maxItems: 1_000, description: 'at most 1,000 faults' })
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

function firstError (list: unknown): string {
  const [misfit] = misfitsOf(FaultList, list)
  return `${misfit?.path ?? ''}: expected ${misfit?.description ?? 'something else'}`
}
