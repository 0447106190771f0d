// The documents as their readers see them: pages, headings, links and code blocks.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { projectDir } from './paths.ts'

/** A document of the project; `path` as seen from its root. */
export interface Page { readonly path: string, readonly text: string }

/** A code block, without the indent of the list that it may stand in. */
export interface CodeBlock { readonly language: string, readonly code: string }

/** Every page that users and contributors read. */
export const pages: readonly Page[] = [
  'README.md', 'CONTRIBUTING.md', 'SECURITY.md',
  ...readdirSync(join(projectDir, 'docs')).filter(name => name.endsWith('.md')).sort().map(name => `docs/${name}`),
  'examples/page/README.md'
].map(path => ({ path, text: readFileSync(join(projectDir, path), 'utf8') }))

/** The text of the page at this path; throws when there is none. */
export function pageAt (path: string): string {
  const page = pages.find(page => page.path === path)
  if (page === undefined) throw new Error(`there is no ${path}`)
  return page.text
}

export function codeBlocksOf (text: string): readonly CodeBlock[] {
  return [...text.matchAll(/^( *)```(\w*)\n(.*?)^\1```$/gms)].map(([, indent = '', language = '', code = '']) => ({ language, code: code.replaceAll(new RegExp(`^${indent}`, 'gm'), '') }))
}

/** What stands below a heading of the second level, up to the next one. */
export function sectionOf (text: string, heading: string): string {
  const section = text.split(/^## /m).find(part => part.startsWith(`${heading}\n`))
  if (section === undefined) throw new Error(`there is no section ${heading}`)
  return section
}

/** The page without its code blocks. */
export function proseOf (text: string): string {
  return text.replaceAll(/^( *)```\w*\n.*?^\1```$/gms, '')
}

/** Where links of a page lead to: not those to other sites. */
export function linksOf (text: string): readonly string[] {
  return [...proseOf(text).matchAll(/\]\(([^)\s]+)\)|src="([^"]+)"/g)].map(([, link, source]) => link ?? source ?? '').filter(link => !/^[a-z]+:/.test(link))
}

/** The names by which links lead to the headings of a page, as GitHub makes them. */
export function anchorsOf (text: string): ReadonlySet<string> {
  return new Set([...proseOf(text).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => heading.toLowerCase().replaceAll(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-')))
}

/** What a command line is called with: its settings, and the words behind them. */
export function callOf (line: string): { readonly env: Readonly<Record<string, string>>, readonly words: readonly string[] } {
  const words = line.replace(/ +#.*$/, '').trim().split(/ +/)
  const isSetting = (word: string): boolean => /^[A-Z_]+=/.test(word)
  const env = words.filter(isSetting).map(word => [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)])
  return { env: Object.fromEntries(env), words: words.filter(word => !isSetting(word)) }
}
