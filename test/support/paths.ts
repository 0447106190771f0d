// Where things are, seen from a compiled test.

import { fileURLToPath } from 'node:url'

/** The folder of the project: compiled tests stand in `build/test/…`. */
export const projectDir = fileURLToPath(new URL('../../../', import.meta.url))

/** The compiled command line. */
export const cliFile = fileURLToPath(new URL('../../src/cli.js', import.meta.url))
