// Tickets: each opens one event stream, once.

import type { Ticket } from '../../generation/accounts.ts'
import type { State } from './state.ts'

export function issueTicket (state: State, ticket: Ticket): void {
  state.tickets.set(ticket.sha256, ticket, ticket.expiresAtMs)
}

/** The ticket, the first time and until its end. */
export function takeTicket (state: State, sha256: string): Ticket | null {
  const ticket = state.tickets.get(sha256) ?? null
  if (ticket !== null) state.tickets.delete(sha256)
  return ticket
}
