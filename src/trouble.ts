// What can fail inside falgate without a caller's doing, and is not the end of anything. The log names the operation; docs/logs.md has this table.

/** An operation as operators read of it. */
export interface Trouble {
  /** What the log line says. */
  readonly sentence: string
  /** What happens then, and what an operator may do. */
  readonly then: string
}

/** Every operation whose failure is logged, from the store to the callers. */
export const troubles = {
  'reach-redis': {
    sentence: 'Redis cannot be reached.',
    then: 'It is tried again and again; nothing is bought meanwhile. Look at `err`.'
  },
  'use-redis': {
    sentence: 'Redis answers, and cannot be used.',
    then: '`err` says what to do. It is tried again and again; nothing is bought meanwhile.'
  },
  'check-redis': {
    sentence: 'Settings and rights of Redis could not be checked.',
    then: 'They are checked again within a minute.'
  },
  subscribe: {
    sentence: 'A channel of Redis could not be subscribed to or left.',
    then: 'The next connection subscribes again. Until then other replicas may take callers here for gone.'
  },
  'read-message': {
    sentence: 'A message of another replica could not be read.',
    then: 'It is ignored. Requests that wait look at the ledger once a second, too.'
  },
  'handle-change': {
    sentence: 'The change of a generation could not be handled.',
    then: 'This is a fault of falgate: report it with `err`.'
  },
  'answer-replica': {
    sentence: 'Another replica could not be told which callers are still connected here.',
    then: 'It takes them for gone.'
  },
  'read-metrics': {
    sentence: 'What metrics show of the ledger could not be read.',
    then: 'These metrics keep their values until the next scrape.'
  },
  'read-breakers': {
    sentence: 'The circuit breakers could not be read.',
    then: 'They are read again every second.'
  },
  'reset-breaker': {
    sentence: 'The circuit breaker of the account could not be told to try again.',
    then: 'Send SIGHUP again once Redis is back.'
  },
  'renew-leases': {
    sentence: 'The leases could not be renewed.',
    then: 'The next renewal tries again; a lease outlasts two that fail.'
  },
  heartbeat: {
    sentence: 'There was no heartbeat for two seconds.',
    then: 'It is tried again within a second. Meanwhile another replica may follow at fal what this one follows, too.'
  },
  'release-leases': {
    sentence: 'The leases could not be released at the stop.',
    then: 'Other replicas take over once these have run out.'
  },
  claim: {
    sentence: 'No waiting generation could be claimed.',
    then: 'It is tried again within a second.'
  },
  sweep: {
    sentence: 'Generations that no replica looks after could not be taken over.',
    then: 'It is tried again within a second.'
  },
  'take-events': {
    sentence: 'What happened to generations and circuit breakers could not be read.',
    then: 'It is logged and counted once the ledger answers.'
  },
  'compare-models': {
    sentence: 'Models could not be compared with what fal publishes.',
    then: 'Those that could be were. All are compared again after `MODEL_CHECK_HOURS`.'
  },
  'run-generation': {
    sentence: 'A step of a generation failed.',
    then: 'A replica takes it over after its lease. After five times its outcome is unknown.'
  },
  'read-generation': {
    sentence: 'A generation under way could not be read.',
    then: 'It goes on as it was known, and is read again.'
  },
  'write-evidence': {
    sentence: 'What fal said of a generation could not be written.',
    then: 'It is kept here, and tried again until the ledger has it.'
  },
  'send-cancel': {
    sentence: 'fal could not be asked to cancel a generation.',
    then: 'The generation ends as fal ends it.'
  },
  'ask-outcome': {
    sentence: 'The outcome of an unknown generation could not be learned.',
    then: 'fal is asked again later.'
  },
  'keep-large-result': {
    sentence: 'A large result was not kept.',
    then: 'Only requests that wait for it in this process get it. Raise `LARGE_RESULT_BYTES`.'
  },
  'store-files': {
    sentence: 'Files of finished generations could not be looked after.',
    then: 'They keep fal\'s addresses, and are tried again within a second.'
  },
  'remove-files': {
    sentence: 'Stored files that nothing refers to could not be removed.',
    then: 'They are tried again within some minutes. Look at `err`, and at the store that `MEDIA_DIR` or `MEDIA_URL` names.'
  },
  'take-webhooks': {
    sentence: 'Webhooks that are due could not be read.',
    then: 'It is tried again within a second.'
  },
  'note-webhook': {
    sentence: 'What became of a webhook could not be written.',
    then: 'It is sent once more, with the same `webhook-id`.'
  },
  'read-media': {
    sentence: 'A stored file could not be read.',
    then: 'Its reader is answered 503. Look at `err`, and at the store that `MEDIA_DIR` or `MEDIA_URL` names.'
  },
  'read-large-result': {
    sentence: 'A large result could not be read.',
    then: 'Its caller is told where to collect it.'
  },
  'read-awaited': {
    sentence: 'Generations that requests wait for could not be read.',
    then: 'They are read again within a second.'
  },
  'read-at-timeout': {
    sentence: 'A generation could not be read when the time of its caller was over.',
    then: 'The caller is told where to collect it, and how it stood at its admission.'
  },
  'read-log': {
    sentence: 'Log lines of a generation could not be read.',
    then: 'The next change brings them.'
  },
  'read-end': {
    sentence: 'A stream could not learn whether the ledger has the end of its generation.',
    then: 'It asks again four times a second, and sends the end afterwards.'
  },
  'write-event-stream': {
    sentence: 'An event stream broke off.',
    then: 'Its client has to connect again.'
  },
  'note-delivery': {
    sentence: 'It could not be noted whether an answer reached its caller.',
    then: 'The same request may get this generation once more.'
  },
  'note-left': {
    sentence: 'It could not be noted that a caller left.',
    then: 'This replica is asked when it matters.'
  }
} as const satisfies Readonly<Record<string, Trouble>>

/** The name of an operation, in log lines too. */
export type Operation = keyof typeof troubles

/** Told that an operation failed, and why. */
export type OnTrouble = (operation: Operation, error: unknown) => void
