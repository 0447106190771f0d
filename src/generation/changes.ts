// What is published of a generation for those that wait for it.

import type { Generation } from './generation.ts'

/** What changes about a generation while somebody waits for it: all that callers see of it before its end. */
export type Change = Pick<Generation, 'id' | 'version' | 'phase' | 'cancelWished' | 'queuePosition' | 'startedAtMs' | 'doubtSinceMs' | 'logged'>

/** A change as it is published. `isQueueEmpty`: as far as this change decides it, nothing can be claimed now. `isErased`: every process that has anything of it forgets it. */
export type Published = Change & { readonly isQueueEmpty: boolean, readonly isErased?: true }
