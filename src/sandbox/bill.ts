// What was asked for, accepted and billed: the judge in tests that promise "bought once".

import { createTally } from './tally.ts'

/** One request that the sandbox accepted, by the queue or by a synchronous call. */
export interface BillEntry {
  readonly requestId: string
  readonly endpoint: string
  /** SHA-256 of the body as it came, in hex. */
  readonly bodyDigest: string
  /** Units billed so far: 0 until the job ends, and for one that ends in an unbilled error. */
  readonly units: number
  /** Milliseconds since the epoch. */
  readonly acceptedAt: number
}

/** The bill as plain data, as `/control/bill` answers it. */
export interface BillCounts {
  /** Submits and synchronous calls that reached the sandbox, refused ones and lost ones too. */
  readonly submits: number
  /** Those of them that became a job. */
  readonly accepted: number
  readonly billedUnits: number
  /** Cancel calls that reached the sandbox. */
  readonly cancels: number
}

export interface Bill extends BillCounts {
  /** The accepted requests, oldest first; only the latest `maxRequests`. */
  readonly requests: readonly BillEntry[]
  /** Resolves as soon as at least that many requests have been accepted; rejects when `signal` aborts. */
  untilAccepted (count: number, signal?: AbortSignal): Promise<void>
  /** Everything back to nothing. */
  reset (): void
}

/** The side of the bill that only the sandbox writes to. */
export interface BillBook {
  readonly bill: Bill
  submitReceived (): void
  cancelReceived (): void
  accepted (requestId: string, endpoint: string, bodyDigest: string): void
  billed (requestId: string, units: number): void
}

export function createBill (maxRequests: number): BillBook {
  const submits = createTally('submits were received')
  const accepted = createTally('requests were accepted')
  const cancels = createTally('cancels were received')
  const requests = new Map<string, BillEntry>()
  let billedUnits = 0

  const bill: Bill = {
    get submits () { return submits.count },
    get accepted () { return accepted.count },
    get billedUnits () { return billedUnits },
    get cancels () { return cancels.count },
    get requests () { return [...requests.values()] },

    untilAccepted: accepted.until,

    reset () {
      for (const tally of [submits, accepted, cancels]) tally.reset()
      billedUnits = 0
      requests.clear()
    }
  }

  return {
    bill,
    submitReceived: submits.add,
    cancelReceived: cancels.add,

    accepted (requestId, endpoint, bodyDigest) {
      requests.set(requestId, { requestId, endpoint, bodyDigest, units: 0, acceptedAt: Date.now() })
      const oldest = requests.size > maxRequests ? requests.keys().next().value : undefined
      if (oldest !== undefined) requests.delete(oldest)
      accepted.add()
    },

    billed (requestId, units) {
      billedUnits += units
      const entry = requests.get(requestId)
      if (entry !== undefined) requests.set(requestId, { ...entry, units: entry.units + units })
    }
  }
}
