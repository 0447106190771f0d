// What kind of file it is: told by its bytes, and by what was said of it only where such files have none that tell.

import { fileTypeFromFile } from 'file-type'

/** What is served under each ending. `isShown`: browsers show it in the page's place; everything else is saved. */
const kinds: Readonly<Record<string, { readonly type: string, readonly isShown: boolean }>> = {
  ...shown('image', { png: 'png', jpg: 'jpeg', webp: 'webp', gif: 'gif', avif: 'avif', heic: 'heic', jxl: 'jxl', bmp: 'bmp', tif: 'tiff', svg: 'svg+xml' }),
  ...shown('video', { mp4: 'mp4', webm: 'webm', mov: 'quicktime', mkv: 'matroska', m4v: 'x-m4v' }),
  ...shown('audio', { mp3: 'mpeg', wav: 'wav', ogg: 'ogg', opus: 'ogg', flac: 'flac', m4a: 'mp4', aac: 'aac' }),
  glb: saved('model/gltf-binary'),
  gltf: saved('model/gltf+json'),
  obj: saved('model/obj'),
  stl: saved('model/stl'),
  ply: saved('application/octet-stream'),
  fbx: saved('application/octet-stream'),
  usdz: saved('model/vnd.usdz+zip'),
  safetensors: saved('application/octet-stream'),
  zip: saved('application/zip'),
  pdf: saved('application/pdf'),
  json: saved('application/json'),
  csv: saved('text/csv; charset=utf-8'),
  txt: saved('text/plain; charset=utf-8'),
  srt: saved('text/plain; charset=utf-8'),
  vtt: saved('text/vtt; charset=utf-8')
}

/** What nothing is known of. */
const ANYTHING = 'bin'

/** Kinds without bytes of their own at the beginning: their type, or else the ending of their address, is believed. None of them runs anywhere: see the policy it is served with. */
const untold = new Set(['svg', 'gltf', 'obj', 'stl', 'ply', 'safetensors', 'json', 'csv', 'txt', 'srt', 'vtt'])

/** What a file is stored and served as: the ending of its name. */
export async function endingOf (path: string, declaredType: string | null, pathname: string): Promise<string> {
  // The whole file: before its pixels a picture may have more about its origin than any number of first bytes holds.
  const told = await fileTypeFromFile(path).catch(() => undefined) // what it cannot follow is no kind of file
  // Of XML it tells only that it is some.
  if (told !== undefined && told.ext !== 'xml') return Object.hasOwn(kinds, told.ext) ? told.ext : ANYTHING
  const type = declaredType?.split(';', 1)[0]?.trim().toLowerCase() ?? ''
  const byType = [...untold].find(ending => kindOf(ending).type.split(';', 1)[0] === type && type !== 'application/octet-stream')
  const byName = /\.([a-z0-9]{1,11})$/i.exec(pathname)?.[1]?.toLowerCase() ?? ''
  return byType ?? (untold.has(byName) ? byName : ANYTHING)
}

/** How a file with this ending is served. */
export function kindOf (ending: string): { readonly type: string, readonly isShown: boolean } {
  return (Object.hasOwn(kinds, ending) ? kinds[ending] : undefined) ?? saved('application/octet-stream')
}

function shown (family: string, endings: Readonly<Record<string, string>>): typeof kinds {
  return Object.fromEntries(Object.entries(endings).map(([ending, type]) => [ending, { type: `${family}/${type}`, isShown: true }]))
}

function saved (type: string): { readonly type: string, readonly isShown: boolean } {
  return { type, isShown: false }
}
