// The Chromium of this machine.

import { existsSync } from 'node:fs'

const places = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome', '/Applications/Chromium.app/Contents/MacOS/Chromium']

/** Its path. Throws with what to do when there is none. */
export function findChromium (): string {
  const named = process.env['CHROMIUM'] ?? places.find(place => existsSync(place))
  if (named === undefined) throw new Error('There is no Chromium here. Install one (Debian: apt-get install chromium), or name one in CHROMIUM.')
  return named
}
