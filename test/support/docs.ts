// The parts of the documentation that are made of code, so that they cannot lag behind it.

import { variables } from '../../src/config.ts'
import { problems, type Again, type Cost, type ProblemEntry } from '../../src/errors.ts'

/** The README's table of environment variables. */
export function environmentTable (): string {
  return table(['Variable', 'Default', 'Meaning', 'Expected'], variables.map(({ name, default: fallback, meaning, expects }) =>
    [`\`${name}\``, fallback === null ? '–' : `\`${fallback}\``, meaning, expects]))
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

/** The README's table "May I send it again?". */
export function problemsTable (): string {
  const entries: readonly (readonly [string, ProblemEntry])[] = Object.entries(problems)
  const rows = entries.map(([code, entry]) => [String(entry.status), `\`${code}\``, entry.title, again[entry.again], costs[entry.cost ?? 'nothing']])
  return table(['Status', 'Code', 'Meaning', 'Send it again?', 'What has it cost?'], rows.toSorted((a, b) => Number(a[0]) - Number(b[0])))
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
