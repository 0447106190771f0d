// `preact.js` is served from the package; this is what it has.
export * from 'htm/preact'
