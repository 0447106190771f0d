// @ts-check
// The same call as text to paste. The key is never in it: each reads it from the environment.

import { html, useState } from './preact.js'

const PLACE = 'FALGATE_KEY'

/** @typedef {{ base: string, model: string, members: [string, string][], cacheMode: string }} Call `base`: of the gateway, with a slash at its end */

/** @type {Record<string, (call: Call) => string>} */
const languages = {
  curl: ({ base, model, members, cacheMode }) => [
    `curl '${base}generate/${model}' \\`,
    `  -H "Authorization: Bearer $${PLACE}" \\`,
    '  -H \'Content-Type: application/json\' \\',
    ...(cacheMode === '' ? [] : [`  -H 'Falgate-Cache: ${cacheMode}' \\`]),
    `  -d '${objectText(members, ': ').replaceAll('\'', '\'\\\'\'')}'`
  ].join('\n'),
  JavaScript: ({ base, model, members, cacheMode }) => [
    `const response = await fetch('${base}generate/${model}', {`,
    '  method: \'POST\',',
    `  headers: { authorization: \`Bearer \${process.env.${PLACE}}\`, 'content-type': 'application/json'${cacheMode === '' ? '' : `, 'falgate-cache': '${cacheMode}'`} },`,
    `  body: ${JSON.stringify(objectText(members, ': '))}`,
    '})',
    'console.log(await response.json())'
  ].join('\n'),
  Python: ({ base, model, members, cacheMode }) => [
    'import json, os, urllib.request',
    '',
    `request = urllib.request.Request("${base}generate/${model}",`,
    `    data=${JSON.stringify(objectText(members, ': '))}.encode(),`,
    `    headers={"Authorization": "Bearer " + os.environ["${PLACE}"], "Content-Type": "application/json"${cacheMode === '' ? '' : `, "Falgate-Cache": "${cacheMode}"`}})`,
    'print(json.load(urllib.request.urlopen(request)))'
  ].join('\n'),
  'OpenAI for Python': ({ base, model, members, cacheMode }) => [
    'import json, os',
    'from openai import OpenAI',
    '',
    `client = OpenAI(base_url="${base}v1", api_key=os.environ["${PLACE}"])`,
    'answer = client.images.generate(',
    `    model="${model}",`,
    // A text of JSON is one of Python, too.
    ...members.filter(([name]) => name === 'prompt').map(([, json]) => `    prompt=${json},`),
    `    extra_body=json.loads(${JSON.stringify(objectText(members.filter(([name]) => name !== 'prompt'), ': '))}),`,
    ...(cacheMode === '' ? [] : [`    extra_headers={"Falgate-Cache": "${cacheMode}"},`]),
    ')',
    'print(answer.data[0].url)'
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
  const text = languages[language]?.({ base: new URL('.', document.baseURI).href, model, members, cacheMode }) ?? ''
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
