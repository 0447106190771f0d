// Endpoint ids, and the names of the files that hold their models.

/** The most characters of an endpoint id. fal's longest has 62; with twice as many for a file name and its ending, every disk takes it. */
export const MAX_ENDPOINT_ID_CHARACTERS = 120

const endpointId = /^[A-Za-z0-9_][A-Za-z0-9._-]*(?:\/[A-Za-z0-9_][A-Za-z0-9._-]*){1,6}$/

/** Whether a text is an endpoint id: two to seven segments, none of which begins with a dot. Ids are compared exactly, capitals and all. */
export function isEndpointId (text: string): boolean {
  return text.length <= MAX_ENDPOINT_ID_CHARACTERS && endpointId.test(text)
}

/**
 * The name of the file of a model: `fal-ai/nano-banana-2` is in `fal-ai__nano-banana-2.json`.
 * No two ids share one, on a disk that is blind to case either: a `+` stands before a capital, which is written small,
 * and before an underscore that could be taken for a part of `__`.
 */
export function fileNameOf (endpointId: string): string {
  return endpointId.split('/').map(flatSegment).join('__') + '.json'
}

/** The endpoint id that a file name stands for, or null when it is the name of none. */
export function endpointIdOf (fileName: string): string | null {
  if (!fileName.endsWith('.json')) return null
  const id = fileName.slice(0, -'.json'.length).replace(/\+([a-z_])|__/g, (_all, marked: string | undefined) => marked === undefined ? '/' : marked.toUpperCase())
  return isEndpointId(id) && fileNameOf(id) === fileName ? id : null
}

function flatSegment (segment: string): string {
  return segment
    .replace(/^_|_$|(?<=_)_|_(?=_)/g, '+_')
    .replace(/[A-Z]/g, capital => `+${capital.toLowerCase()}`)
}
