// The name of a stored file: what is in it, and what kind it is. The same bytes have the same name wherever they came from.

const NAME = /^[0-9a-f]{64}\.[a-z0-9]{1,11}$/

/** `<sha256 in hex>.<ending>`. */
export function fileName (sha256: string, ending: string): string {
  return `${sha256}.${ending}`
}

/** Is it the name of a stored file? What comes from outside is asked before it is made a part of a path. */
export function isFileName (text: string): boolean {
  return NAME.test(text)
}

/** The SHA-256 in such a name, in hex. */
export function sha256In (name: string): string {
  return name.slice(0, name.indexOf('.'))
}

/** The ending of such a name. */
export function endingIn (name: string): string {
  return name.slice(name.indexOf('.') + 1)
}
