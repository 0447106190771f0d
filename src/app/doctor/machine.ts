// The machine that a gateway would run on: its Node, how many files it may open, its disk, and who may read the files of the settings.

import { readFile, stat, statfs } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Config } from '../../config.ts'
import { bytesText, fault, notTried, ok, warning, type Finding } from './finding.ts'

/** As `engines` of package.json has it. */
export const OLDEST_NODE = '20.19'

/** Each caller that waits holds one, and so does each connection to fal and to Redis. */
const FEW_OPEN_FILES = 4096

const LITTLE_DISK_BYTES = 100 * 1024 * 1024

export function nodeFinding (version = process.versions.node): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [oldestMajor = 0, oldestMinor = 0] = OLDEST_NODE.split('.').map(Number)
  const isOld = major < oldestMajor || (major === oldestMajor && minor < oldestMinor)
  return isOld ? fault('node', `Node ${version} is too old: falgate needs ${OLDEST_NODE} or newer`) : ok('node', `Node ${version}; ${OLDEST_NODE} or newer is needed`)
}

/** `limits`: where Linux tells the limits of this process. */
export async function openFilesFinding (limits = '/proc/self/limits'): Promise<Finding> {
  const text = await readFile(limits, 'utf8').catch(() => '')
  const [, soft] = /^Max open files\s+(\d+|unlimited)/m.exec(text) ?? []
  if (soft === undefined) return notTried('open-files', 'how many files may be open is not told on this system')
  const most = soft === 'unlimited' ? Infinity : Number(soft)
  const measured = Number.isFinite(most) ? { open_files_limit: most } : {}
  if (most < FEW_OPEN_FILES) return warning('open-files', `${most} files may be open at once, and each caller that waits is one: allow ${FEW_OPEN_FILES} or more (ulimit -n, LimitNOFILE, nofile)`, measured)
  return ok('open-files', `${soft} files may be open at once`, measured)
}

/** Room where this process stands and where files of models are written. A log that fills the disk stops what writes it. */
export async function diskFinding (config: Config | null): Promise<Finding> {
  const folders = [...new Set(['.', ...config === null || config.models.dir === null ? [] : [config.models.dir]].map(folder => resolve(folder)))]
  const rooms = await Promise.all(folders.map(async folder => {
    try {
      const { bavail, bsize } = await statfs(folder)
      return { folder, freeBytes: bavail * bsize }
    } catch {
      // That a folder cannot be read is told with the settings.
      return null
    }
  }))
  const [least] = rooms.filter(room => room !== null).toSorted((one, other) => one.freeBytes - other.freeBytes)
  if (least === undefined) return notTried('disk', 'how much room the disk has is not told on this system')
  const measured = { free_bytes: least.freeBytes }
  if (least.freeBytes < LITTLE_DISK_BYTES) return warning('disk', `${bytesText(least.freeBytes)} are left on the disk of ${least.folder}: make room, since a log or a file of a model that finds none is lost`, measured)
  return ok('disk', `${bytesText(least.freeBytes)} are left on the disk`, measured)
}

/** A file that the settings name. */
interface Named { readonly setting: string, readonly file: string | null, readonly isSecret: boolean }

/** Others are told nothing of secrets, and change nothing. */
export async function filesFindings (config: Config | null): Promise<readonly Finding[]> {
  if (config === null) return [notTried('files', 'the settings are faulty, so it is not known which files they mean')]
  const named: readonly Named[] = [
    { setting: 'FAL_KEY_FILE', file: config.fal.kind === 'key-file' ? config.fal.file : null, isSecret: true },
    { setting: 'REDIS_PASSWORD_FILE', file: config.redis?.passwordFile ?? null, isSecret: true },
    { setting: 'TLS_KEY_FILE', file: config.tls?.keyFile ?? null, isSecret: true },
    { setting: 'WEBHOOK_KEY_FILE', file: config.webhookKeyFile, isSecret: true },
    { setting: 'TENANTS_FILE', file: config.tenantsFile, isSecret: false },
    { setting: 'MODELS_DIR', file: config.models.dir, isSecret: false },
    { setting: 'REDIS_CA_FILE', file: config.redis?.caFile ?? null, isSecret: false },
    { setting: 'TLS_CERT_FILE', file: config.tls?.certFile ?? null, isSecret: false }
  ]
  const looked = await Promise.all(named.map(async ({ setting, file, isSecret }) => file === null ? null : await sentenceOf(setting, file, isSecret)))
  const found = looked.flatMap(told => told === null || told === '' ? [] : [warning('files', told)])
  if (found.length > 0) return found
  return [looked.every(told => told === null) ? ok('files', 'the settings name no file') : ok('files', 'nobody else may read the secrets in the files of the settings, or write these files')]
}

const OTHERS_READ = 0o004
const OTHERS_WRITE = 0o002

/** `''`: in order, or it cannot be read, which is told with the settings. */
async function sentenceOf (setting: string, file: string, isSecret: boolean): Promise<string> {
  const mode = await stat(file).then(({ mode }) => mode, () => 0)
  if ((mode & OTHERS_WRITE) !== 0) return `${setting}: everybody on this machine may write what is there: take that away (chmod o-w)`
  return isSecret && (mode & OTHERS_READ) !== 0 ? `${setting}: everybody on this machine may read the file: take that away (chmod o-r)` : ''
}
