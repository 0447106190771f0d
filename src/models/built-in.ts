// The models that falgate comes with. The command line hands them to everything else, which imports none of them.

import { imagen4Ultra } from './imagen4-ultra.ts'
import { createModels, type ModelBook } from './models.ts'

/** The built-in models. */
export const builtInModels: ModelBook = createModels([imagen4Ultra])
