// The name in a Host header.

/** Without its port, in small letters, and without the dot that a whole name may end with. */
export function hostNameIn (host: string): string {
  return host.toLowerCase().replace(/:\d+$/, '').replace(/\.$/, '')
}
