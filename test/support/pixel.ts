// A picture of one pixel, and others that are the same to the eye.

const PIXEL = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64')

/** A PNG. With a `mark` behind its end, which nobody draws, it is another file. */
export function pixel (mark = ''): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.concat([PIXEL, Buffer.from(mark)]))
}

/** As an address that holds it. */
export function dataOf (bytes: Uint8Array, type = 'image/png'): string {
  return `data:${type};base64,${Buffer.from(bytes).toString('base64')}`
}
