// What replicas tell each other beside the rows: changes that wake waiters, and questions whether a connection is still open, or a replica still there.
// Pub/sub loses messages; listeners are told to look again whenever the subscription was made again.

import { randomUUID } from 'node:crypto'
import { Problem } from '../../errors.ts'
import { listOf, recordOf, textOf } from '../../generation/fields.ts'
import type { Ledger } from '../../generation/ledger.ts'
import type { OnTrouble } from '../../trouble.ts'
import type { RedisClient } from './clients.ts'
import type { Connection } from './connection.ts'
import { publishedIn } from './wire-figures.ts'

/** How long a replica may take to say which of its connections are open. */
const ANSWER_WITHIN_MS = 300

export type Events = Pick<Ledger, 'listen' | 'askOpen' | 'askThere' | 'answerOpen'> & {
  /** Subscribes a connection that was just made. */
  readonly prepare: (client: RedisClient) => Promise<void>
  readonly lookAgain: () => void
  readonly close: () => void
}

interface EventsOptions {
  /** The namespace as every channel's prefix. */
  readonly prefix: string
  /** Publishes; a command like others. */
  readonly commands: () => Connection
  readonly subscription: () => Connection
  readonly onTrouble: OnTrouble
}

export function createEvents ({ prefix, commands, subscription, onTrouble }: EventsOptions): Events {
  const listeners = new Set<Parameters<Ledger['listen']>[0]>()
  const answerers = new Map<string, (connection: string) => boolean>()
  const questions = new Map<string, (open: readonly string[] | null) => void>()
  const subscribed = new WeakSet<RedisClient>()
  const changes = prefix + 'changes'
  const replies = `${prefix}reply:${randomUUID()}`

  const askingOf = (replica: string): string => `${prefix}ask:${replica}`

  function onMessage (channel: string, message: string): void {
    try {
      if (channel === changes) tell(publishedIn(message))
      else if (channel === replies) takeAnswer(message)
      else answer(channel.slice(prefix.length + 'ask:'.length), message)
    } catch (error) {
      onTrouble('read-message', error)
    }
  }

  function tell (change: Parameters<Parameters<Ledger['listen']>[0]>[0]): void {
    for (const listener of listeners) {
      try {
        listener(change)
      } catch (error) {
        // A listener's fault is its own: the others may not suffer from it.
        onTrouble('handle-change', error)
      }
    }
  }

  function answer (replica: string, message: string): void {
    const isOpen = answerers.get(replica)
    if (isOpen === undefined) return
    const { question, reply, connections } = recordOf(JSON.parse(message))
    const open = listOf(connections).map(textOf).filter(isOpen)
    publish(textOf(reply), { question, open }).catch((error: unknown) => { onTrouble('answer-replica', error) })
  }

  function takeAnswer (message: string): void {
    const { question, open } = recordOf(JSON.parse(message))
    questions.get(textOf(question))?.(listOf(open).map(textOf))
  }

  async function publish (channel: string, message: object): Promise<void> {
    await commands().run(async client => await client.publish(channel, JSON.stringify(message)))
  }

  async function askOpen (replica: string, connections: readonly string[]): Promise<ReadonlySet<string>> {
    const own = answerers.get(replica)
    if (own !== undefined) return new Set(connections.filter(own))
    return new Set(await ask(async question => { await publish(askingOf(replica), { question, reply: replies, connections }) }))
  }

  /** This process answers a question of its own as well, so that it knows whether it would have heard. */
  async function askThere (replica: string): Promise<'there' | 'silent' | 'unheard'> {
    if (answerers.has(replica)) return 'there'
    const [echo, open] = await Promise.all([
      ask(async question => { await publish(replies, { question, open: [] }) }),
      ask(async question => { await publish(askingOf(replica), { question, reply: replies, connections: [] }) })
    ])
    if (open !== null) return 'there'
    return echo === null ? 'unheard' : 'silent'
  }

  /** Puts a question, and gives the connections that were named in answer; null when none came in time. */
  async function ask (put: (question: string) => Promise<void>): Promise<readonly string[] | null> {
    const question = randomUUID()
    let timer: NodeJS.Timeout | undefined
    try {
      const answered = new Promise<readonly string[] | null>(resolve => {
        questions.set(question, resolve)
        timer = setTimeout(() => { resolve(null) }, ANSWER_WITHIN_MS)
      })
      await put(question)
      return await answered
    } finally {
      clearTimeout(timer)
      questions.delete(question)
    }
  }

  /** A subscription that is away just now, or did not answer, is made again with the channels of all answerers; that is no trouble of its own. */
  function resubscribe (change: (client: RedisClient) => Promise<unknown>): void {
    subscription().run(change).catch((error: unknown) => { if (!(error instanceof Problem)) onTrouble('subscribe', error) })
  }

  return {
    async prepare (client) {
      if (!subscribed.has(client)) {
        subscribed.add(client)
        client.on('message', onMessage)
      }
      await client.subscribe(changes, replies, ...[...answerers.keys()].map(askingOf))
      tell('look-again')
    },
    lookAgain: () => { tell('look-again') },
    listen: listener => {
      listeners.add(listener)
      return () => { listeners.delete(listener) }
    },
    askOpen,
    askThere,
    answerOpen: (replica, isOpen) => {
      answerers.set(replica, isOpen)
      resubscribe(async client => await client.subscribe(askingOf(replica)))
      return () => {
        if (answerers.get(replica) !== isOpen) return
        answerers.delete(replica)
        resubscribe(async client => await client.unsubscribe(askingOf(replica)))
      }
    },
    close: () => {
      listeners.clear()
      answerers.clear()
      for (const resolve of questions.values()) resolve(null)
    }
  }
}
