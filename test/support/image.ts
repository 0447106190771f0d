// What the image would hold, read from the Dockerfile and laid out in a folder, for a machine without Docker.

import { cpSync, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { projectDir } from './paths.ts'

interface Copy { readonly from: readonly string[], readonly to: string }

export interface DockerImage {
  /** What the builder takes from the project. */
  readonly sources: readonly string[]
  /** What the last stage takes from the builder's `/app`. */
  readonly copies: readonly Copy[]
  readonly env: Readonly<Record<string, string>>
  readonly command: readonly string[]
  readonly healthCommand: readonly string[]
  readonly user: string | undefined
}

/** Reads as much of a Dockerfile with two stages as ours uses. */
export function readDockerfile (text: string): DockerImage {
  const lines = text.replace(/\\\n\s*/g, ' ').split('\n')
  const last = lines.findLastIndex(line => line.startsWith('FROM '))
  const final = lines.slice(last)
  const argumentsOf = (line: string): string[] => line.split(/\s+/).slice(1)
  const isCopy = (line: string): boolean => line.startsWith('COPY ')
  const copyOf = (words: readonly string[]): Copy => ({ from: words.slice(0, -1), to: words.at(-1) ?? '' })
  const after = (lines: readonly string[], start: string): string | undefined => lines.find(line => line.startsWith(start))?.slice(start.length).trim()
  return {
    sources: lines.slice(0, last).filter(isCopy).flatMap(line => copyOf(argumentsOf(line)).from),
    copies: final.filter(isCopy).map(line => copyOf(argumentsOf(line).filter(word => !word.startsWith('--')))),
    env: Object.fromEntries(argumentsOf(final.find(line => line.startsWith('ENV ')) ?? '').map(pair => pair.split('=', 2))),
    command: execForm(after(final, 'CMD ')),
    healthCommand: execForm(/CMD (\[.*\])/.exec(after(final, 'HEALTHCHECK ') ?? '')?.[1]),
    user: after(final, 'USER ')
  }
}

function execForm (text: string | undefined): readonly string[] {
  const words: unknown = JSON.parse(text ?? '[]')
  return Array.isArray(words) ? words.map(String) : []
}

/** Lays out in `target` exactly the files that the last stage copies, with production dependencies only. */
export function layOut (image: DockerImage, target: string): void {
  for (const { from, to } of image.copies) {
    for (const source of from) {
      const path = posix.relative('/app', source)
      const destination = join(target, to.endsWith('/') ? join(to, posix.basename(path)) : to)
      if (path === 'node_modules') layOutPackages(target)
      else cpSync(join(projectDir, path), destination, { recursive: true })
    }
  }
}

/** Lays out in `target` the packages that an installation for production has. */
export function layOutPackages (target: string): void {
  for (const folder of productionPackages()) copyPackage(folder, target)
}

function copyPackage (folder: string, target: string): void {
  const source = join(projectDir, folder)
  mkdirSync(dirname(join(target, folder)), { recursive: true })
  // Nested packages have lines of their own in the lockfile, and some of them are for development.
  cpSync(source, join(target, folder), { recursive: true, dereference: true, filter: path => !path.slice(source.length).includes('node_modules') })
}

/** Folders of the packages that `npm prune --omit=dev` leaves, by the lockfile. */
function productionPackages (): readonly string[] {
  const lock: unknown = JSON.parse(readFileSync(join(projectDir, 'package-lock.json'), 'utf8'))
  const packages: unknown = typeof lock === 'object' && lock !== null && 'packages' in lock ? lock.packages : {}
  return Object.entries(packages ?? {}).flatMap(([folder, entry]: [string, unknown]) => {
    const isForDevelopment = typeof entry === 'object' && entry !== null && ('dev' in entry || 'devOptional' in entry)
    // An optional package for another platform is in the lockfile but not on the disk.
    return folder === '' || isForDevelopment || !existsSync(join(projectDir, folder)) ? [] : [folder]
  })
}
