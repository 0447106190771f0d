// The texts of `--help`.

import { variables } from '../config.ts'
import type { CommandName } from './arguments.ts'

const summaries: Readonly<Record<CommandName, string>> = {
  serve: 'serve the gateway (what happens without a command)',
  check: 'check the environment and the tenants file, and name every fault',
  health: 'ask the gateway of this environment whether it lives',
  key: 'make a new key for a tenant',
  sandbox: 'serve the stand-in for fal alone'
}

const details: Readonly<Record<CommandName, string>> = {
  serve: `Usage: falgate serve

Serves the gateway until SIGTERM or SIGINT, then drains for at most WAIT_SECONDS.
SIGHUP reads the tenants file and the key file again.
Exit code: 0 after a drain, 1 after a fault.`,
  check: `Usage: falgate check

Checks the environment and the files it names, as serve would at its start, and
starts nothing. Every fault is a line on standard error.
Exit code: 0 when the configuration is sound, 1 when it is not.`,
  health: `Usage: falgate health

Asks /healthz on OPS_PORT, or on HOST and PORT when that is not set, and waits at
most 2 seconds. Exit code: 0 when the gateway lives, 1 when it does not.`,
  key: `Usage: falgate key <tenant>

Makes a new key. It is printed once and kept nowhere; what belongs into the tenants
file is the line with its hash.`,
  sandbox: `Usage: falgate sandbox

Serves the stand-in for fal on HOST and PORT. Pictures are drawn locally and cost
nothing; any key is accepted.`
}

/** The text of `falgate --help`, or of one command's. */
export function helpText (command: CommandName | null): string {
  return command === null ? overview() : details[command]
}

function overview (): string {
  const commands = Object.entries(summaries).map(([name, summary]) => `  ${name.padEnd(10)}${summary}`)
  const environment = variables.map(({ name, default: fallback, meaning }) => `  ${name.padEnd(20)}${plain(meaning)}${fallback === null ? '' : ` (${fallback})`}`)
  return `Usage: falgate [command] [options]

The gateway between your teams and fal.ai.

Commands:
${commands.join('\n')}

Options:
  -h, --help     show this, or with a command that command's help
  -V, --version  show the version

Environment:
${environment.join('\n')}`
}

/** Documentation marks words as code; a terminal does not. */
function plain (meaning: string): string {
  return meaning.replaceAll('`', '')
}
