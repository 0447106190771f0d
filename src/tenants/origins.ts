// Origins of web pages and of apps that are made of them, as tenants list them and as browsers send them (RFC 6454).

/** No page sends these: pages there have no origin of their own, which is `null` and that of all such pages, or there are none. */
const OF_NO_PAGE = new Set(['about', 'blob', 'data', 'file', 'filesystem', 'ftp', 'javascript', 'ws', 'wss'])

const WEB = /^https?:\/\//
/** Apps that are made of pages: `app://bundle`, `capacitor://localhost`, `chrome-extension://<id>`, `tauri://localhost`. */
const APP = /^([a-z][a-z0-9+.-]*):\/\/[a-z0-9._-]+(:\d{1,5})?$/
const ANY_SUBDOMAIN = '://*.'

/** Can a tenant list this? What browsers would never send is none: a path, capitals, the port that is usual. */
export function isOrigin (text: string): boolean {
  const plain = WEB.test(text) ? text.replace(ANY_SUBDOMAIN, '://any.') : text
  if (WEB.test(plain)) return !/[*]|\.$/.test(plain) && URL.canParse(plain) && new URL(plain).origin === plain
  const [, scheme] = APP.exec(plain) ?? []
  return scheme !== undefined && !OF_NO_PAGE.has(scheme)
}

/** Is the origin that a browser sent the one that is listed? `https://*.studio.example` stands for every name below `studio.example`, and not for that itself. */
export function matchesOrigin (listed: string, origin: string): boolean {
  const at = listed.indexOf(ANY_SUBDOMAIN)
  if (at === -1) return listed === origin
  const scheme = listed.slice(0, at + '://'.length)
  const parent = listed.slice(at + '://*'.length)
  return origin.length > scheme.length + parent.length && origin.startsWith(scheme) && origin.endsWith(parent)
}
