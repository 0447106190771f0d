// @ts-check
// The same call as text to paste. The key is never in it: each reads it from the environment.

import { html, useState } from './preact.js'

const PLACE = 'FALGATE_KEY'

/** @type {Record<string, (url: string, members: [string, string][], cacheMode: string) => string>} */
const languages = {
  curl: (url, members, cacheMode) => [
    `curl '${url}' \\`,
    `  -H "Authorization: Bearer $${PLACE}" \\`,
    '  -H \'Content-Type: application/json\' \\',
    ...(cacheMode === '' ? [] : [`  -H 'Falgate-Cache: ${cacheMode}' \\`]),
    `  -d '${objectText(members, ': ').replaceAll('\'', '\'\\\'\'')}'`
  ].join('\n'),
  JavaScript: (url, members, cacheMode) => [
    `const response = await fetch('${url}', {`,
    '  method: \'POST\',',
    `  headers: { authorization: \`Bearer \${process.env.${PLACE}}\`, 'content-type': 'application/json'${cacheMode === '' ? '' : `, 'falgate-cache': '${cacheMode}'`} },`,
    `  body: ${JSON.stringify(objectText(members, ': '))}`,
    '})',
    'console.log(await response.json())'
  ].join('\n'),
  Python: (url, members, cacheMode) => [
    'import json, os, urllib.request',
    '',
    `request = urllib.request.Request("${url}",`,
    `    data=${JSON.stringify(objectText(members, ': '))}.encode(),`,
    `    headers={"Authorization": "Bearer " + os.environ["${PLACE}"], "Content-Type": "application/json"${cacheMode === '' ? '' : `, "Falgate-Cache": "${cacheMode}"`}})`,
    'print(json.load(urllib.request.urlopen(request)))'
  ].join('\n')
}

/** @param {[string, string][]} members @param {string} colon */
function objectText (members, colon) {
  return `{${members.map(([name, json]) => JSON.stringify(name) + colon + json).join(', ')}}`
}

/** @param {{ model: string, members: [string, string][], cacheMode: string }} props `cacheMode`: empty is the usual one */
export function Snippets ({ model, members, cacheMode }) {
  const [language, choose] = useState('curl')
  const [copied, setCopied] = useState('')
  const text = languages[language]?.(new URL(`generate/${model}`, document.baseURI).href, members, cacheMode) ?? ''
  return html`
    <section class="card snippets" aria-labelledby="same-call">
      <div class="row">
        <h2 id="same-call">The same call as</h2>
        <fieldset class="segments"><legend class="hidden">Language</legend>
          ${Object.keys(languages).map(name => html`<label key=${name}><input type="radio" name="language" checked=${name === language} onChange=${() => choose(name)} /><span>${name}</span></label>`)}
        </fieldset>
      </div>
      <pre tabindex="0" aria-label=${`The call in ${language}`}><code>${text}</code></pre>
      <button type="button" class="quiet" onClick=${async () => { setCopied(await copy(text) ? text : '') }}>${copied === text && text !== '' ? 'Copied' : 'Copy'}</button>
    </section>`
}

/** Whether it is in the clipboard now: without TLS browsers have none. @param {string} text */
export async function copy (text) {
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    return false
  }
}
