// Tickets: `EventSource` sends no header, and an address is no place for a key, because proxies and traces write addresses down. A page asks for a ticket, which
// opens the events of one generation, once.

import { hash } from 'node:crypto'
import { Type, type Static } from '@sinclair/typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Problem } from '../errors.ts'
import type { Ledger } from '../generation/ledger.ts'
import { guardOf } from '../schema.ts'
import type { TenantBook } from '../tenants/book.ts'
import { isInForce } from '../tenants/keys.ts'
import { isSealed, sealedSecret } from '../tenants/tokens.ts'
import type { AnswerDeps } from './answer.ts'
import { problemResponses } from './problem-schema.ts'
import { callerOf, readerOf, type Caller } from './request-facts.ts'
import type { TokenCallers } from './token-callers.ts'

/** How long a ticket waits for its use. */
const TICKET_SECONDS = 60

const TICKET = /^fgs_([A-Za-z0-9_-]{43})$/

/** Who holds a ticket: the key that asked for it, or the token. */
const Holder = Type.Object({ keyId: Type.String(), token: Type.Union([Type.String(), Type.Null()]) })

const isHolder = guardOf(Holder)

export const TicketSchema = Type.Object({
  ticket: Type.String({ description: 'It opens the events once. It is told this once.' }),
  events_url: Type.String({ description: 'The address for `EventSource`; without the host where `PUBLIC_URL` is not set, as `Location` elsewhere.' }),
  expires_at: Type.String({ format: 'date-time' })
}, { title: 'Ticket' })

const Id = Type.Object({ id: Type.String({ description: 'A generation\'s id.' }) })

export interface TicketDeps extends Pick<AnswerDeps, 'addresses'> {
  readonly ledger: Pick<Ledger, 'read' | 'issueTicket' | 'now'>
  readonly tenants: () => TenantBook
}

export function ticketRoute (scope: FastifyInstance, { ledger, tenants, addresses }: TicketDeps): void {
  scope.post<{ Params: Static<typeof Id> }>('/generations/:id/ticket', {
    schema: {
      operationId: 'create_ticket',
      tags: ['generations'],
      security: [{ key: [] }],
      summary: 'Give EventSource a ticket in place of the key',
      description: `For pages that follow a generation with \`EventSource\`, which cannot send a key. The ticket opens the events of this generation once, within ${TICKET_SECONDS} seconds.`,
      params: Id,
      response: {
        201: Type.Unsafe<unknown>({ description: 'The ticket.', content: { 'application/json': { schema: Type.Ref('Ticket') } } }),
        ...problemResponses('changing', 'no-such-generation')
      }
    }
  }, async (request, reply) => {
    const { id } = request.params
    const reader = readerOf(request)
    if (await ledger.read(id, reader) === null) throw new Problem('no-such-generation')
    request.facts.generationId = id
    const { keyId, token } = callerOf(request)
    const key = tenants().find(keyId)
    if (key === undefined) throw new Problem('key-unknown') // taken out since the request began
    const ticket = `fgs_${sealedSecret(id, key)}`
    const holder: Static<typeof Holder> = { keyId, token: token?.id ?? null }
    const expiresAtMs = ledger.now() + TICKET_SECONDS * 1000
    await ledger.issueTicket({ ...reader, sha256: hash('sha256', ticket), generation: id, terms: JSON.stringify(holder), expiresAtMs })
    const given: Static<typeof TicketSchema> = { ticket, events_url: `${addresses.generation(request, id)}/events?ticket=${ticket}`, expires_at: new Date(expiresAtMs).toISOString() }
    return reply.code(201).type('application/json').send(JSON.stringify(given))
  })
}

/** The ticket that a request without a key brings, where its route takes one; `null`: none. */
export function ticketIn ({ facts: { config }, headers, query }: FastifyRequest): string | null {
  if (config.takesTicket !== true || headers.authorization !== undefined) return null
  const { ticket }: { readonly ticket?: unknown } = Object(query)
  return typeof ticket === 'string' ? ticket : null
}

/** Who calls with a ticket, which is used up by this. Throws a `Problem` when it was used before, has ended, is for another generation, or its key or token is not in force any more. */
export async function useTicket (ticket: string, generation: string, book: TenantBook, tokens: TokenCallers, ledger: Pick<Ledger, 'takeTicket'>): Promise<Caller> {
  const [, secret = ''] = TICKET.exec(ticket) ?? []
  // As with tokens, what was made up costs the ledger nothing.
  const taken = isSealed(book, generation, secret) ? await ledger.takeTicket(hash('sha256', ticket)) : null
  if (taken === null || taken.generation !== generation) throw new Problem('ticket-unknown', { detail: `A ticket opens the events of its generation once, within ${TICKET_SECONDS} seconds. Ask for another one with \`POST /generations/{id}/ticket\`.` })
  const holder: unknown = JSON.parse(taken.terms)
  if (!isHolder(holder)) throw new Error('the holder of a ticket cannot be read')
  if (holder.token !== null) return (await tokens.find(book, holder.token)).caller
  const tenant = book.tenants.get(taken.tenant)
  if (tenant === undefined || !isInForce(book, holder.keyId, taken.tenant, Date.now())) throw new Problem('ticket-unknown', { detail: 'The key that asked for it is not in force any more.' })
  return { tenant, keyId: holder.keyId, subject: '', token: null }
}
