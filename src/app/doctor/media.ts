// The place of stored files, looked at from outside: a folder is not made, and into a bucket an empty object is put.

import { access, constants, statfs } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Config } from '../../config.ts'
import { folderSentence, openMediaStore, faultOf } from '../media-place.ts'
import { bytesText, fault, ok, warning, type Finding } from './finding.ts'
import { nearest } from './folder.ts'

/** Pictures have some megabytes each. */
const LITTLE_BYTES = 1024 * 1024 * 1024

/** Whether files can be kept; none where they are not to be. */
export async function mediaFindings (config: Config | null): Promise<readonly Finding[]> {
  if (config === null || config.media === null) return []
  const { at } = config.media
  return [at.kind === 'folder' ? await folderFinding(at.folder) : await bucketFinding(config, config.media)]
}

/** The same in a word: with what of it a gateway would not start, and what is worth one. */
export async function lookAtMedia (config: Config): Promise<{ readonly faults: readonly string[], readonly warnings: readonly string[] }> {
  const found = await mediaFindings(config)
  const of = (verdict: Finding['verdict']): readonly string[] => found.filter(finding => finding.verdict === verdict).map(({ sentence }) => sentence)
  return { faults: of('fault'), warnings: of('warning') }
}

async function folderFinding (folder: string): Promise<Finding> {
  try {
    const [path, isThere] = await nearest(resolve(folder))
    await access(path, constants.W_OK | constants.X_OK)
    const { bavail, bsize } = await statfs(path)
    const freeBytes = bavail * bsize
    const told = `files of results are kept in ${folder}${isThere ? '' : ', which the first start makes'}; ${bytesText(freeBytes)} are left on its disk`
    const measured = { free_bytes: freeBytes }
    if (freeBytes < LITTLE_BYTES) return warning('media', `${told}: make room, since what finds none keeps the address of fal`, measured)
    return ok('media', told, measured)
  } catch (error) {
    return fault('media', folderSentence(folder, error))
  }
}

async function bucketFinding (config: Config, media: NonNullable<Config['media']>): Promise<Finding> {
  // What is wrong with the file of its keys is told with the settings.
  const opened = await openMediaStore(config, media).catch((error: unknown) => error instanceof Error ? error.message : String(error))
  if (typeof opened === 'string') return fault('media', opened)
  const { store } = opened
  const wrong = await faultOf(store, media)
  await store.close()
  if (wrong === null) return ok('media', `files of results are kept in ${store.place}`)
  return wrong.isLasting ? fault('media', wrong.sentence) : warning('media', wrong.sentence)
}
