// What operators' commands ask the process that has the folder: one request, a line of JSON, and an answer in lines of JSON, over the socket in the folder.
// The folder belongs to one user (mode 0700), and so does whatever can be asked here: there is no key.

import type { Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { recordOf, textOf } from '../../generation/fields.ts'
import type { Operators } from '../../generation/operators.ts'
import { answerFiles, askedFiles, booleanOf, momentOf } from './files-wire.ts'

/** Raised when an older process would take a request for another one. */
const VERSION = 1

/** An overview is asked with the names and budgets of all tenants. */
const MAX_REQUEST_LENGTH = 4 * 1024 * 1024

/** A request that does not come in this time is none. */
const REQUEST_MS = 5000

/** The commands that may be asked of another process. */
export interface AskedOperators extends Pick<Operators, 'usage' | 'unknown' | 'settle' | 'correct' | 'webhooks' | 'sendWebhooks' | 'recount' | 'files'> {
  /** What those on call look at; question and answer are read by who asks and who answers. */
  readonly overview: (asked: unknown) => Promise<unknown>
}

/** So many connections there are at once; one more is told to ask again. */
const MOST_CONNECTIONS = 64

/** Requests of so many are read at once, since each of them may be long. The others wait in the system's buffers. */
const READ_AT_ONCE = 8

/** Answers connections, each with one request, and ends them. */
export function createAnswering (operators: AskedOperators): (socket: Socket) => void {
  let connections = 0
  let reading = 0
  const waiting: (() => void)[] = []

  async function inTurn (read: () => Promise<string>): Promise<string> {
    if (reading === READ_AT_ONCE) await new Promise<void>(resolve => { waiting.push(resolve) })
    else reading += 1
    try {
      return await read()
    } finally {
      // Whoever comes next takes this one's place.
      const next = waiting.shift()
      if (next === undefined) reading -= 1
      else next()
    }
  }

  return socket => {
    if (connections === MOST_CONNECTIONS) {
      socket.end(JSON.stringify({ fault: 'The gateway is asked by so many at once that it cannot answer: ask again' }) + '\n')
      // It ends once what was sent is read, if that is soon.
      socket.resume()
      const timer = setTimeout(() => { socket.destroy() }, REQUEST_MS)
      socket.once('close', () => { clearTimeout(timer) })
      return
    }
    connections += 1
    socket.once('close', () => { connections -= 1 })
    answer(socket, operators, inTurn).catch(() => {}) // it says what fails itself
  }
}

/** Answers one connection, and ends it. Never rejects. */
async function answer (socket: Socket, operators: AskedOperators, inTurn: (read: () => Promise<string>) => Promise<string>): Promise<void> {
  const say = async (line: object): Promise<void> => {
    if (socket.destroyed) throw new Error('Nobody reads any more.')
    if (!socket.write(JSON.stringify(line) + '\n')) await new Promise<void>(resolve => { socket.once('drain', resolve).once('close', resolve) })
  }
  try {
    const request = recordOf(JSON.parse(await inTurn(async () => await requestOf(socket))))
    if (request['v'] !== VERSION) throw new Error('The gateway speaks another version of this: use the falgate that it is')
    for await (const line of answersTo(request, operators)) await say(line)
    await say({ end: true })
  } catch (error) {
    await say({ fault: error instanceof Error ? error.message : String(error) }).catch(() => {}) // whoever asked is gone
  }
  socket.end()
}

async function * answersTo (request: Readonly<Record<string, unknown>>, { usage, unknown, settle, correct, webhooks, sendWebhooks, recount, files, overview }: AskedOperators): AsyncGenerator<object> {
  switch (request['command']) {
    case 'usage':
      for await (const text of usage({ format: request['format'] === 'csv' ? 'csv' : 'jsonl', fromMs: momentOf(request['fromMs']), toMs: momentOf(request['toMs']) })) yield { text }
      return
    case 'unknown':
      for await (const text of unknown(request['format'] === 'table' ? 'table' : 'jsonl')) yield { text }
      return
    case 'settle': return yield await settle(textOf(request['id']), booleanOf(request['billed']))
    case 'correct': return yield await correct(textOf(request['about']), momentOf(request['cost']))
    case 'webhooks':
      for await (const text of webhooks({ format: request['format'] === 'json' ? 'json' : 'table', isStuck: booleanOf(request['isStuck']), tenant: request['tenant'] === null ? null : textOf(request['tenant']) })) yield { text }
      return
    case 'sendWebhooks': return yield await sendWebhooks(textOf(request['id']))
    case 'recount': return yield await recount(booleanOf(request['isMending']))
    case 'files': return yield { files: await answerFiles(request, files) }
    case 'overview': return yield { overview: await overview(request['asked']) }
    default: throw new Error('The gateway does not know this command: use the falgate that it is')
  }
}

/** The same commands, asked of the process at the other end of connections, one for each. */
export function askedOf (connect: () => Promise<Socket>): AskedOperators {
  async function * ask (request: object): AsyncGenerator<Readonly<Record<string, unknown>>> {
    const socket = await connect()
    socket.write(JSON.stringify({ v: VERSION, ...request }) + '\n')
    try {
      for await (const line of createInterface({ input: socket })) {
        const answer = recordOf(JSON.parse(line))
        if (answer['fault'] !== undefined) throw new Error(textOf(answer['fault']))
        if (answer['end'] === true) return
        yield answer
      }
    } finally {
      socket.destroy()
    }
    throw new Error('The gateway ended before it had answered: ask again')
  }

  async function * texts (request: object): AsyncGenerator<string> {
    for await (const { text } of ask(request)) yield textOf(text)
  }

  async function word (request: object): Promise<{ done: boolean, text: string }> {
    let told: { done: boolean, text: string } | null = null
    for await (const { done, text } of ask(request)) told = { done: booleanOf(done), text: textOf(text) }
    if (told === null) throw new Error('The gateway has not answered: ask again')
    return told
  }

  return {
    usage: asked => texts({ command: 'usage', ...asked }),
    unknown: format => texts({ command: 'unknown', format }),
    settle: async (id, billed) => await word({ command: 'settle', id, billed }),
    correct: async (about, cost) => await word({ command: 'correct', about, cost }),
    webhooks: asked => texts({ command: 'webhooks', ...asked }),
    sendWebhooks: async id => await word({ command: 'sendWebhooks', id }),
    recount: async isMending => await word({ command: 'recount', isMending }),
    files: askedFiles(async request => {
      let told: unknown
      for await (const { files } of ask({ command: 'files', ...request })) told = files
      return told
    }),
    overview: async asked => {
      let told: unknown
      for await (const { overview } of ask({ command: 'overview', asked })) told = overview
      return told
    }
  }
}

/** The first line. Rejects when there is none, when it is too long, and when all of it has not come in time, so that nobody keeps others waiting. */
async function requestOf (socket: Socket): Promise<string> {
  const timer = setTimeout(() => { socket.destroy() }, REQUEST_MS)
  try {
    let read = ''
    for await (const chunk of socket.setEncoding('utf8').iterator({ destroyOnReturn: false })) {
      read += String(chunk)
      const end = read.indexOf('\n')
      if (end !== -1) return read.slice(0, end)
      if (read.length > MAX_REQUEST_LENGTH) throw new Error('The request is too long')
    }
    throw new Error('There is no request')
  } finally {
    clearTimeout(timer)
  }
}
