// Waiting for a state instead of for time.

import { setTimeout as pause } from 'node:timers/promises'
import type { CallOptions, Gateway } from './gateway.ts'

/** Long enough to leave the processor to those that are waited for. */
const POLL_MS = 5

/** Asks until the answer is yes; the test's own timeout ends it. */
export async function until (isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!await isSo()) await pause(POLL_MS)
}

/** Reads the generation until it has this status. */
export async function untilStatus (gateway: Gateway, id: string, status: string, options: CallOptions = {}): Promise<Record<string, unknown>> {
  let generation: Record<string, unknown> = {}
  await until(async () => {
    generation = (await gateway.get(`/generations/${id}`, options)).json()
    return generation['status'] === status
  })
  return generation
}

/** The ids of the tenant's generations, newest first. */
export async function generationIds (gateway: Gateway, options: CallOptions = {}): Promise<string[]> {
  const { generations } = (await gateway.get('/generations?limit=100', options)).json()
  return [generations].flat().map(generation => String(Object(generation)['id']))
}
