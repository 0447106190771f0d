// Whether the files of a stored result are still at fal: those that its output names and that are not stored here.

import { addressesIn } from '../generation/media.ts'
import type { LookAtFiles } from '../generation/request/file-looks.ts'
import { createFileLook } from '../media/file-look.ts'
import type { ModelBook } from '../models/models.ts'
import { filesOf } from '../upstream/result.ts'
import type { WayToFiles } from './way-to-files.ts'

/** Who waits for a picture does not wait longer for this. What has not answered by then is believed to be there. */
const LOOK_MS = 2000

/** So many files of one result are looked at, all at once. */
const MAX_FILES = 16

export interface DeadLinks { readonly look: LookAtFiles, readonly close: () => Promise<void> }

export function createDeadLinks (models: () => Pick<ModelBook, 'find'>, way: WayToFiles): DeadLinks {
  const { isGone, close } = createFileLook(way)
  return {
    look: async ({ model, output, media }) => {
      if (output === null) return true
      const stored = new Set(addressesIn(output, (media ?? []).filter(({ file }) => file !== null)))
      const addresses = [...new Set(filesOf(models(), model, output))].filter(address => !stored.has(address)).slice(0, MAX_FILES)
      if (addresses.length === 0) return true
      const signal = AbortSignal.timeout(LOOK_MS)
      // With listeners of all of them on one signal Node warns of a leak.
      const gone = await Promise.all(addresses.map(async address => await isGone(way.reached(address), AbortSignal.any([signal]))))
      return !gone.includes(true)
    },
    close
  }
}
