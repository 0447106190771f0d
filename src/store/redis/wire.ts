// How the answers of the ledger's scripts are read: a reader for each operation, by subject in the files beside this one. A function named `…In` reads one thing
// out of parsed JSON, in which numbers are texts, and what is null or false is left out. What cannot be read is a fault of falgate: it throws.

import { integerOf, recordOf } from '../../generation/fields.ts'
import { balanceIn, breakerIn, changeIn, condemnedIn, expectationIn, failedIn, gaugesIn, journalEntryIn, keptPageIn, logPieceIn, mintedIn, moveIn, recountIn, seenReplicaIn, standingIn, ticketIn, tokenIn, tokenPageIn, unknownIn } from './wire-figures.ts'
import { dueHookIn, hookedIn, sentAgainIn } from './wire-hooks.ts'
import { admittedAllIn, asideIn, cancelledIn, claimedIn, correctedIn, erasedIn, outboxTakenIn, previewIn, putAsideIn, settledIn, takenAllIn, weighedIn } from './wire-rights.ts'
import { contentsIn, isYes, listIn, lookedIn, nothing, orNothing, rowIn, textsIn } from './wire-rows.ts'

const answers = {
  ping: nothing,
  admit: admittedAllIn,
  withdraw: nothing,
  claim: claimedIn,
  recordAccepted: orNothing(weighedIn),
  recordNotSent: orNothing(weighedIn),
  recordUnknown: orNothing(weighedIn),
  recordProgress: orNothing(weighedIn),
  recordDoubt: orNothing(weighedIn),
  finish: orNothing(weighedIn),
  renew: (value: unknown) => {
    const { gone, rolledBack } = recordOf(value)
    return { gone: textsIn(gone), rolledBack: textsIn(rolledBack) }
  },
  restore: (value: unknown) => ({ contested: integerOf(recordOf(value)['contested']) }),
  release: nothing,
  sweep: takenAllIn,
  heartbeat: textsIn,
  takeOver: takenAllIn,
  takeOutbox: outboxTakenIn,
  once: isYes,
  takeMissing: listIn(rowIn),
  keepFiles: orNothing(rowIn),
  noteDeadLinks: nothing,
  expectFile: expectationIn,
  takeOrphans: listIn(condemnedIn),
  filesGone: textsIn,
  withdrawFiles: nothing,
  keptFiles: keptPageIn,
  meetFiles: textsIn,
  takeHooks: listIn(dueHookIn),
  hookTried: isYes,
  hooks: hookedIn,
  sendHooksAgain: sentAgainIn,
  putAside: putAsideIn,
  aside: orNothing(asideIn),
  seen: nothing,
  left: nothing,
  read: orNothing(rowIn),
  lookup: orNothing(rowIn),
  preview: previewIn,
  list: contentsIn,
  getMany: lookedIn,
  getStatuses: listIn(changeIn),
  logs: logPieceIn,
  cancel: cancelledIn,
  erase: erasedIn,
  settle: settledIn,
  correct: correctedIn,
  breaker: breakerIn,
  breakers: listIn(breakerIn),
  mint: listIn(mintedIn),
  token: orNothing(tokenIn),
  tokens: tokenPageIn,
  revoke: isYes,
  issueTicket: nothing,
  takeTicket: orNothing(ticketIn),
  balances: listIn(balanceIn),
  unknowns: listIn(unknownIn),
  journal: listIn(journalEntryIn),
  gauges: gaugesIn,
  standings: listIn(standingIn),
  failures: listIn(failedIn),
  replicas: listIn(seenReplicaIn),
  recount: recountIn,
  move: moveIn
} as const

export type Operation = keyof typeof answers

export type AnswerOf<Name extends Operation> = ReturnType<typeof answers[Name]>

export const readers: { readonly [Name in Operation]: (value: unknown) => AnswerOf<Name> } = answers
