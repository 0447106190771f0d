// Follows changes of the folder of models. A faulty file is refused and told once; the old book stays in force.

import { hash } from 'node:crypto'
import { watch, type Look, type Watched } from '../watched.ts'
import { folderLooks, loadModels, type LoadedModels, type ModelsSource } from './load.ts'

export interface ModelsWatchOptions extends ModelsSource {
  readonly dir: string
  /** What is in force already. */
  readonly loaded: LoadedModels
  /** Other models are on offer from now on. Must not throw. */
  readonly onChange: (loaded: LoadedModels) => void
  /** Must not throw. */
  readonly onRefused: (faults: readonly string[]) => void
  readonly intervalMs?: number | undefined
}

/** Only files whose size, times or inode have changed are read. */
export function watchModels ({ dir, loaded, onChange, onRefused, intervalMs, ...source }: ModelsWatchOptions): Watched {
  let inForce = loaded
  let lastLooks = ''

  async function look (isAsked: boolean): Promise<Look> {
    let looks: string
    try {
      looks = hash('sha256', (await folderLooks(dir)).text)
    } catch {
      // Read below for the sentence.
      looks = ''
    }
    if (looks !== '' && looks === lastLooks && !isAsked) return { kind: 'unchanged' }
    const read = await loadModels({ ...source, dir }, inForce)
    // From before the files were read: a write in between makes the next look read again.
    lastLooks = looks
    if (!read.ok) return { kind: 'refused', what: `${looks} ${read.faults.join()}`, faults: read.faults }
    if (isSame(inForce, read.loaded)) {
      // Files that were only touched are known by what they look like now.
      inForce = read.loaded
      return { kind: 'in-force' }
    }
    return {
      kind: 'new',
      take: () => {
        inForce = read.loaded
        onChange(read.loaded)
      }
    }
  }

  return watch({ look, onRefused, intervalMs })
}

/** Are these the very same models? */
function isSame ({ book: { all: one } }: LoadedModels, { book: { all: other } }: LoadedModels): boolean {
  return one.length === other.length && one.every((model, index) => model === other[index])
}
