// The parts of the documentation that are made of code, so that they cannot lag behind it.

import { Registry } from 'prom-client'
import { problems, type Again, type Cost, type ProblemEntry } from '../../src/errors.ts'
import { readErrorBody } from '../../src/fal-wire/error-body.ts'
import { describedAnswerHeaders } from '../../src/http/headers.ts'
import { createMetrics } from '../../src/metrics.ts'
import { errorAnswers, oddAnswers, type Answer } from '../../src/sandbox/answers.ts'
import { variables } from '../../src/settings.ts'
import { countCommands, moveCommands } from '../../src/store/redis/script.ts'
import { troubles } from '../../src/trouble.ts'
import { aclRules, clusterRights } from './redis.ts'

/** A part of a page that is made of code: which page, and what stands there. */
export interface Generated { readonly page: string, readonly section: string, readonly text: string }

/** Everything that `npm run docs` writes into pages. */
export function generated (): readonly Generated[] {
  return [
    { page: 'docs/api.md', section: 'answer-headers', text: answerHeadersTable() },
    { page: 'docs/configuration.md', section: 'environment', text: environmentTables() },
    { page: 'docs/deployment.md', section: 'redis-user', text: redisUser() },
    { page: 'docs/errors.md', section: 'problems', text: problemsTable() },
    { page: 'docs/operations.md', section: 'metrics', text: metricsTable() },
    { page: 'docs/logs.md', section: 'troubles', text: troublesTable() },
    { page: 'docs/sandbox.md', section: 'sandbox-errors', text: answersTable('error', errorAnswers) },
    { page: 'docs/sandbox.md', section: 'sandbox-odd-answers', text: answersTable('answer', oddAnswers) }
  ]
}

/** How to make the user of Redis, from what the scripts call; several rights in a line, none of them cut. */
function redisUser (): string {
  const rules = aclRules({ password: 'PASSWORD', namespace: 'fg' }).map(rule => /^[+@\w-]+$/.test(rule) ? rule : `'${rule}'`)
  const lines = rules.reduce<string[]>((lines, rule) => {
    const line = `${lines.at(-1)} ${rule}`
    return line.length > MAX_LINE_CHARACTERS ? [...lines, `  ${rule}`] : [...lines.slice(0, -1), line]
  }, ['redis-cli ACL SETUSER falgate'])
  const listed = (commands: readonly string[]): string => {
    const words = commands.map(command => `\`${command}\``)
    return `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`
  }
  return [
    '```sh', lines.join(' \\\n'), '```', '',
    `* \`falgate ledger recount\` needs ${listed(countCommands())} beside these.`,
    `* \`falgate export\` and \`falgate import\` need ${listed(moveCommands())} beside these.`,
    `* \`REDIS_CLUSTER=on\` needs ${clusterRights.map(right => `\`${right}\``).join(' and ')}, too, and the user on every node.`
  ].join('\n')
}

const MAX_LINE_CHARACTERS = 100

/** What settings are about, each theme with its first variable: they stand in the order of the documentation. */
const themes: ReadonlyMap<string, string> = new Map([
  ['FAL_KEY', 'fal'],
  ['STORE', 'Store'],
  ['REDIS_URL', 'Redis'],
  ['TENANTS_FILE', 'Tenants'],
  ['MODELS_DIR', 'Models'],
  ['HOST', 'Addresses and TLS'],
  ['FAL_CONCURRENCY', 'Slots and times'],
  ['CACHE_MEMORY_BYTES', 'Results in memory and aside'],
  ['BREAKER_FAILURES', 'Circuit breakers'],
  ['EVENT_HEARTBEAT_SECONDS', 'Event streams'],
  ['LEASE_SECONDS', 'Replicas'],
  ['LOG_LEVEL', 'Logs and mode']
])

/** A table of environment variables for each theme. */
function environmentTables (): string {
  const byTheme = new Map<string, string[][]>()
  let rows: string[][] = []
  for (const { name, default: fallback, meaning, expects } of variables) {
    const theme = themes.get(name)
    if (theme !== undefined) byTheme.set(theme, rows = [])
    rows.push([`\`${name}\``, fallback === null ? '–' : `\`${fallback}\``, meaning, expects])
  }
  return [...byTheme].map(([theme, rows]) => `## ${theme}\n\n${table(['Variable', 'Default', 'Meaning', 'Expected'], rows)}`).join('\n\n')
}

/** The content of `.env.example`: every variable, commented out, with its default. */
export function environmentExample (): string {
  const entries = variables.map(({ name, default: fallback, meaning }) => `# ${meaning.replaceAll('`', '')}.\n#${name}=${fallback ?? ''}\n`)
  return `# Settings of falgate, with their defaults. \`npm run docs\` writes this file.\n\n${entries.join('\n')}`
}

const again: Readonly<Record<Again, string>> = {
  no: 'no: the answer stays the same',
  'after-change': 'after something was changed',
  yes: 'yes',
  'billed-answers': 'yes; one that was billed answers the same request for 15 minutes, `Falgate-Cache: refresh` buys at once',
  collect: 'yes: it is collected, not bought again'
}

const costs: Readonly<Record<Cost, string>> = {
  nothing: 'nothing',
  'as-billed': 'what fal bills for it, often nothing',
  possible: 'perhaps; the money is held until that is known',
  once: 'one picture, once'
}

/** The table "May I send it again?". */
function problemsTable (): string {
  const entries: readonly (readonly [string, ProblemEntry])[] = Object.entries(problems)
  const rows = entries.map(([code, entry]) => [String(entry.status), `\`${code}\``, entry.title, again[entry.again], costs[entry.cost ?? 'nothing']])
  return table(['Status', 'Code', 'Meaning', 'Send it again?', 'What has it cost?'], rows.toSorted((a, b) => Number(a[0]) - Number(b[0])))
}

/** The headers of the native answers. */
function answerHeadersTable (): string {
  return table(['Header', 'Meaning'], describedAnswerHeaders.map(({ name, meaning }) => [`\`${name}\``, meaning]))
}

interface Metric { readonly name: string, readonly type: string, readonly labels: readonly string[], readonly help: string }

/** Every metric of falgate's own, as it registers itself. */
export function metrics (): readonly Metric[] {
  const registered: object[] = []
  const { registerMetric } = Registry.prototype
  // A registry shows labels only with values, and nothing but what registers knows them before.
  Registry.prototype.registerMetric = function (metric) {
    registered.push(metric)
    registerMetric.call(this, metric)
  }
  try {
    createMetrics({ version: '' })
  } finally {
    Registry.prototype.registerMetric = registerMetric
  }
  return registered.map(described).filter(({ name }) => name.startsWith('falgate_')).toSorted((a, b) => a.name < b.name ? -1 : 1)
}

function described (metric: object): Metric {
  const told = (field: string): unknown => Reflect.get(metric, field)
  const labels = told('labelNames')
  return { name: String(told('name')), type: String(told('type')), labels: Array.isArray(labels) ? labels.map(String) : [], help: String(told('help')) }
}

function metricsTable (): string {
  return table(['Metric', 'Type', 'Labels', 'Meaning'], metrics().map(({ name, type, labels, help }) => [`\`${name}\``, type, labels.map(label => `\`${label}\``).join(', '), help]))
}

/** What the log says when something inside fails, and what happens then. */
function troublesTable (): string {
  return table(['`operation`', 'What the log line says', 'What happens then'], Object.entries(troubles).map(([operation, { sentence, then }]) => [`\`${operation}\``, sentence, then]))
}

/** What the sandbox can be made to say, by name. */
function answersTable (field: string, answers: Readonly<Record<string, Answer>>): string {
  return table([`\`${field}\``, 'Status', 'What it says'], Object.entries(answers).map(([name, { status, headers, body }]) => [`\`${name}\``, String(status), saidBy(body, headers['content-type'] ?? '')]))
}

function saidBy (body: Answer['body'], contentType: string): string {
  if (typeof body !== 'string') return 'JSON that is compressed'
  if (body === '') return `An empty body of type \`${contentType}\``
  if (contentType === 'text/html') return 'A page of HTML'
  const error = readErrorBody(body, null)
  if (error === null) return `\`${body}\``
  return error.text ?? `${error.lines[0]?.msg ?? ''} (the model)`
}

function table (head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows].map(cells => `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`).join('\n')
}

/** What stands between `<!-- name -->` and `<!-- /name -->`; `null` without these marks. */
export function section (document: string, name: string): string | null {
  return marks(name).exec(document)?.[1] ?? null
}

/** The document with another text between the marks. */
export function withSection (document: string, name: string, text: string): string {
  return document.replace(marks(name), () => `<!-- ${name} -->\n${text}\n<!-- /${name} -->`)
}

function marks (name: string): RegExp {
  return new RegExp(`<!-- ${name} -->\\n(?:(.*)\\n)?<!-- /${name} -->`, 's')
}
