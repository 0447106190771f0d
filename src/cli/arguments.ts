// What was asked for on the command line.

import { parseArgs } from 'node:util'

export const commandNames = ['serve', 'check', 'health', 'key', 'sandbox'] as const
export type CommandName = typeof commandNames[number]

/** A command, a request for help or for the version, or what could not be understood. */
export type Asked =
  | { readonly kind: 'run', readonly command: Exclude<CommandName, 'key'> }
  | { readonly kind: 'run', readonly command: 'key', readonly tenantId: string }
  | { readonly kind: 'help', readonly command: CommandName | null }
  | { readonly kind: 'version' }
  | { readonly kind: 'misused', readonly message: string }

const TENANT_ID = /^[A-Za-z0-9._-]{1,64}$/

/** Reads the arguments after `falgate`. Help wins over everything that else would be wrong. */
export function readArguments (args: readonly string[]): Asked {
  const parsed = parse(args)
  if (typeof parsed === 'string') return misused(parsed)
  const { values, positionals: [name, ...operands] } = parsed

  const command = name === undefined ? 'serve' : commandNames.find(known => known === name)
  if (command === undefined) return misused(`there is no command "${name}"`)
  if (values.help === true) return { kind: 'help', command: name === undefined ? null : command }
  if (values.version === true) return { kind: 'version' }
  if (command === 'key') {
    const [tenantId, ...others] = operands
    if (tenantId === undefined) return misused('key needs the id of a tenant')
    if (others.length > 0) return misused('key takes one tenant at a time')
    return TENANT_ID.test(tenantId) ? { kind: 'run', command, tenantId } : misused('a tenant\'s id has 1 to 64 letters, digits, dots, underscores and hyphens')
  }
  return operands.length === 0 ? { kind: 'run', command } : misused(`${command} takes no argument`)
}

const options = { help: { type: 'boolean', short: 'h' }, version: { type: 'boolean', short: 'V' } } as const

function parse (args: readonly string[]): ReturnType<typeof parseArgs<{ options: typeof options, allowPositionals: true }>> | string {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true })
  } catch (error) {
    // Node explains at length; its first sentence names the option.
    return error instanceof Error ? error.message.replace(/\. .*$/s, '') : 'the options cannot be read'
  }
}

function misused (message: string): Asked {
  return { kind: 'misused', message }
}
