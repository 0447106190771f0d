// Brings `build/` up to date within seconds: transpiles the files that changed, file by file, and checks no types (`npx tsc --noEmit` does).
// Tests run from `build/`, and so do the processes that they start, so one way of compiling serves them all. Plain JavaScript, because it runs first.

import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

/** Sources and what is made of each, as paths from the root. */
const outputs = new Map(filesIn(['src', 'test'], '.ts').filter(file => !file.endsWith('.d.ts')).map(file => [file, join('build', file.replace(/\.ts$/, '.js'))]))

const changed = [...outputs].filter(([file, output]) => modifiedMs(output) <= Math.max(modifiedMs(file), modifiedMs('tsconfig.json')))
if (changed.length > 0) await transpile(changed)

const wanted = new Set(outputs.values())
for (const file of filesIn(['build/src', 'build/test'], '.js')) {
  if (!wanted.has(file)) rmSync(join(root, file))
}

/** @param {string[]} folders @param {string} ending */
function filesIn (folders, ending) {
  return folders.filter(folder => existsSync(join(root, folder)))
    .flatMap(folder => readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map(name => join(folder, name)))
    .filter(file => file.endsWith(ending))
}

/** 0 when there is no such file. @param {string} file */
function modifiedMs (file) {
  return statSync(join(root, file), { throwIfNoEntry: false })?.mtimeMs ?? 0
}

/** @param {[file: string, output: string][]} pairs */
async function transpile (pairs) {
  const { default: ts } = await import('typescript')
  const { options } = ts.parseJsonConfigFileContent(ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile).config, ts.sys, root)
  for (const [file, output] of pairs) {
    const { outputText, sourceMapText, diagnostics = [] } = ts.transpileModule(readFileSync(join(root, file), 'utf8'), {
      fileName: join(root, file),
      reportDiagnostics: true,
      compilerOptions: { ...options, module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler, sourceRoot: relative(dirname(output), '.') + '/' }
    })
    if (diagnostics.length > 0) {
      process.stderr.write(ts.formatDiagnostics(diagnostics, { getCanonicalFileName: name => name, getCurrentDirectory: () => root, getNewLine: () => '\n' }))
      process.exit(1)
    }
    mkdirSync(dirname(join(root, output)), { recursive: true })
    writeFileSync(join(root, output), outputText)
    if (sourceMapText !== undefined) writeFileSync(join(root, output + '.map'), sourceMapText)
  }
}
