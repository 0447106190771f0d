// Where stored files are kept, the keys to that place, and those that links are signed with.

import { randomBytes } from 'node:crypto'
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { BucketKeys, BucketKeysAt, Config, MediaAccess } from '../config.ts'
import type { RemovalTerms } from '../generation/kept-files.ts'
import { createFolderStore } from '../media/folder-store.ts'
import type { MediaStore } from '../media/media-store.ts'
import { BucketFault } from '../media/s3.ts'
import { createS3Store } from '../media/s3-store.ts'
import { describeReadError } from '../tenants/load.ts'
import { createConnector } from '../upstream/way.ts'
import type { FilesOptions, FilesRead } from './files.ts'

const CONNECT_MS = 10_000

/** A line of the file of keys has at least as many characters: shorter ones can be found out by trying. */
const MIN_KEY_LENGTH = 32

/** The name of the file with the key that a folder is given when it is first used. */
const FOLDER_KEY = 'link-key'

/** A place of stored files that was opened. */
export interface OpenedStore {
  readonly store: MediaStore
  /** How keys to a bucket are read again from their file, where there is one. */
  readonly bucketKeys: Pick<FilesOptions<BucketKeys>, 'files' | 'read' | 'take'> | null
}

export async function openMediaStore ({ proxy }: Config, { at }: MediaAccess): Promise<OpenedStore> {
  if (at.kind === 'folder') {
    const store = await createFolderStore(at.folder).catch((error: unknown) => { throw new Error(folderSentence(at.folder, error), { cause: error }) })
    return { store, bucketKeys: null }
  }
  const read = await readBucketKeys(at.keys)
  if (!read.ok) throw new Error(read.faults.join('; '))
  let keys = read.value
  const store = await createS3Store({ address: at.bucket, keys: () => keys, connect: createConnector({ proxy, timeoutMs: CONNECT_MS }) })
  const { keys: where } = at
  return { store, bucketKeys: where.kind === 'keys' ? null : { files: [where.file], read: async () => await readBucketKeys(where), take: read => { keys = read } } }
}

/** A link lasts up to an hour longer than it has to (see `links.ts`). */
const LONGER_LINK_MS = 3_600_000

/** When stored files go that nothing refers to. */
export function removalTermsOf ({ linkMs, keepMs, maxBytes }: Pick<MediaAccess, 'linkMs' | 'keepMs' | 'maxBytes'>): RemovalTerms {
  return { idleMs: linkMs + LONGER_LINK_MS, keepMs, maxBytes }
}

/** What is wrong with that place. `isLasting`: somebody has to do something about it; what is away now may be there again soon, and files are tried again. */
export interface MediaFault { readonly sentence: string, readonly isLasting: boolean }

/** `null`: files can be stored there, and read. */
export async function faultOf (store: MediaStore, { at }: MediaAccess): Promise<MediaFault | null> {
  try {
    await store.check()
    return null
  } catch (error) {
    if (at.kind === 'folder') return { sentence: folderSentence(at.folder, error), isLasting: true }
    if (!(error instanceof BucketFault)) return { sentence: `MEDIA_URL: ${store.place} is not reached (${codeOf(error)}); files keep fal's addresses until it is`, isLasting: false }
    return { sentence: `MEDIA_URL: ${store.place} ${bucketSentence(error)}`, isLasting: error.status < 500 && error.status !== 429 }
  }
}

/** That files cannot be kept in this folder, and what to do. */
export function folderSentence (folder: string, error: unknown): string {
  return `MEDIA_DIR: files cannot be kept in ${folder} (${codeOf(error)}): make it a folder that the user that falgate runs as may write to`
}

function bucketSentence ({ status, code, region }: BucketFault): string {
  if (region !== null) return `is in another region: add region=${region} to the address`
  if (code === 'InvalidAccessKeyId' || code === 'SignatureDoesNotMatch' || code === 'ExpiredToken') return `does not take these keys (${code}): look at AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or at the file of MEDIA_CREDENTIALS_FILE`
  if (status === 401 || status === 403) return `refuses to store and to give out files (${code}): allow these keys s3:PutObject, s3:GetObject, s3:DeleteObject and s3:ListBucket there`
  if (status === 404) return `is not there (${code}): make the bucket, or correct the address`
  return `answers ${status} (${code}), and files keep fal's addresses meanwhile`
}

/** The word by which the system, or an S3, calls what went wrong. */
function codeOf (error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown reason'
}

/** The keys to a bucket, as they stand in its settings or in the file that these name. */
export async function readBucketKeys (at: BucketKeysAt): Promise<FilesRead<BucketKeys>> {
  if (at.kind === 'keys') return { ok: true, value: at.keys() }
  try {
    const text = await readFile(at.file, 'utf8')
    // Of several profiles the first one.
    const valueOf = (name: string): string | null => new RegExp(`^\\s*${name}\\s*=\\s*(\\S+)\\s*$`, 'm').exec(text)?.[1] ?? null
    const [accessKeyId, secretAccessKey] = [valueOf('aws_access_key_id'), valueOf('aws_secret_access_key')]
    if (accessKeyId !== null && secretAccessKey !== null) return { ok: true, value: { accessKeyId, secretAccessKey, sessionToken: valueOf('aws_session_token') } }
    return { ok: false, faults: ['MEDIA_CREDENTIALS_FILE: the file has to hold the lines `aws_access_key_id = …` and `aws_secret_access_key = …`'] }
  } catch (error) {
    return { ok: false, faults: [`MEDIA_CREDENTIALS_FILE: ${describeReadError(error)}`] }
  }
}

/** The keys that links are signed with, the one that signs first. Of a folder without a file of keys one is made there, by whichever replica comes first. */
export async function readKeys ({ at, keyFile }: MediaAccess): Promise<FilesRead<readonly string[]>> {
  return keyFile === null && at.kind === 'folder' ? await folderKey(at.folder) : await readLinkKeys(keyFile)
}

/** The keys in a file; none where there is no file. */
export async function readLinkKeys (keyFile: string | null): Promise<FilesRead<readonly string[]>> {
  if (keyFile === null) return { ok: true, value: [] }
  try {
    const keys = (await readFile(keyFile, 'utf8')).split('\n').map(line => line.trim()).filter(line => line !== '')
    if (keys.length > 0 && keys.every(key => key.length >= MIN_KEY_LENGTH)) return { ok: true, value: keys }
    return { ok: false, faults: [`MEDIA_KEY_FILE: the file has to hold a key of at least ${MIN_KEY_LENGTH} characters in each line, such as \`openssl rand -hex 32\` makes it`] }
  } catch (error) {
    return { ok: false, faults: [`MEDIA_KEY_FILE: ${describeReadError(error)}`] }
  }
}

async function folderKey (folder: string): Promise<FilesRead<readonly string[]>> {
  const file = join(folder, FOLDER_KEY)
  try {
    await mkdir(folder, { recursive: true })
    const aside = `${file}.${randomBytes(8).toString('hex')}`
    await writeFile(aside, randomBytes(32).toString('hex') + '\n', { flag: 'wx', mode: 0o600 })
    // Whole or not at all: of two that do this at once one finds it there.
    await link(aside, file).catch((error: unknown) => {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
    })
    await rm(aside, { force: true })
    return { ok: true, value: [(await readFile(file, 'utf8')).trim()] }
  } catch (error) {
    return { ok: false, faults: [`MEDIA_DIR: ${describeReadError(error)}`] }
  }
}
