// The texts of `--help`.

import { variables } from '../settings.ts'
import type { CommandName } from './arguments.ts'

const summaries: Readonly<Record<CommandName, string>> = {
  serve: 'serve the gateway (what happens without a command)',
  check: 'check the environment and the tenants file, and name every fault',
  doctor: 'try Redis, fal, the key, models and this machine, and say what to do',
  health: 'ask the gateway of this environment whether it lives',
  key: 'make a new key for a tenant',
  sandbox: 'serve the stand-in for fal alone',
  top: 'show line, places, guard, money, failures and replicas, again and again',
  usage: 'export the journal of purchases',
  unknown: 'show the generations whose outcome is unknown',
  settle: 'say of one of them whether it was billed',
  correct: 'say what a generation cost, and open a model whose price was unsure',
  webhooks: 'show the webhooks that are not told yet, and send them again',
  ledger: 'recount: count its counters again; mend: put a damaged folder right;\n            take-back: after a move that was none',
  media: 'look at kept files, remove what nothing refers to, take one out',
  export: 'write the whole ledger to a file, as a backup or to move it',
  import: 'put such a file into an empty ledger',
  model: 'add a model of fal, show it, compare it with fal\'s, remove it'
}

const details: Readonly<Record<CommandName, string>> = {
  serve: `Usage: falgate serve

Serves the gateway until SIGTERM or SIGINT, then drains: callers have WAIT_SECONDS,
and what was sent to fal the 45 s that fal may take to answer it. After SIGTERM it
takes work for DRAIN_DELAY_SECONDS more.
SIGHUP reads the models, the tenants file and the files of keys, certificates and
passwords again.
Exit code: 0 after a drain, 1 after a fault.`,
  check: `Usage: falgate check

Checks the environment and the files it names, as serve would at its start, and
starts nothing. The files of MODELS_DIR are read; a model whose price was not
confirmed is a warning. With REDIS_URL it looks at that Redis for at most 3 seconds and writes
nothing there; one that cannot be reached is a fault. So is a DATA_DIR that cannot be used;
nothing is made or written there. fal is not asked. Every fault is a
line on standard error. It also tells how long a stop takes at most with this
environment, which an orchestrator has to wait for.
Exit code: 0 when the configuration is sound, 1 when it is not.`,
  doctor: `Usage: falgate doctor [--json]

Looks at all that a gateway of this environment needs, and says of each thing whether it
is in order, or what is wrong and what to do: settings and who may read their files, Node,
open files, disk, clocks; Redis (version, eviction, persistence, rights, latency, memory,
replicas) or the folder of DATA_DIR (may it be written, who has it, room, reserve, last
snapshot); the way to fal, the key, and models beside what fal publishes. Run it where the
gateway runs, with its environment.
Nothing is bought, and nothing of the ledger is changed. The key is tried by asking fal for
the status of a request that does not exist. In Redis the library of the ledger's functions
is loaded, as a start does, where nothing else tells what its user may do.
--json writes one object: findings, each with check, verdict (ok, warning, fault,
not-tried), sentence and perhaps measured, and how many are faults and warnings.
Exit code: 0 when nothing is at fault, 1 when something is, 2 when the arguments are wrong.`,
  health: `Usage: falgate health

Asks /healthz on OPS_PORT, or on HOST and PORT when that is not set, and waits at
most 2 seconds. Exit code: 0 when the gateway lives, 1 when it does not.`,
  key: `Usage: falgate key <tenant>

Makes a new key. It is printed once and kept nowhere; what belongs into the tenants
file is the line with its hash.`,
  sandbox: `Usage: falgate sandbox

Serves the stand-in for fal on HOST and PORT. Pictures are drawn locally and cost
nothing; any key is accepted.`,
  top: `Usage: falgate top [--interval <seconds>] [--tenant <id>]
       falgate top --once [--json] [--tenant <id>]

Shows what the ledger knows of all replicas: who waits and for how long, places at fal,
circuit breakers, money by tenant, unknown outcomes, the last failures, and which replicas
are there. It is drawn again every two seconds, until q or Ctrl-C; where Redis is away it
says so, and goes on trying. Without a terminal it is drawn once.
--once draws it once. --json writes it as one object (docs/operations.md).
--tenant shows money and failures of one tenant.
Reads the ledger of REDIS_URL, REDIS_PASSWORD_FILE, REDIS_CLUSTER, REDIS_NAMESPACE, or of
DATA_DIR, budgets from TENANTS_FILE, and all places at fal from FAL_CONCURRENCY. Nothing is changed.
Exit code: 0, 1 when the ledger cannot be read once, 2 when the arguments are wrong.`,
  usage: `Usage: falgate usage --csv|--jsonl [--from <time>] [--to <time>]

Writes the journal on standard output, oldest first: every purchase, every unknown
outcome with the price that is held for it, every correction and double purchase. The
sum of the amounts is what was spent, and what is held for open unknowns.
A time is a day (its first moment, UTC) or RFC 3339; --from is included, --to is not.
Default: from the start of this month, UTC, until now. The journal goes back 92 days.
Reads the ledger of REDIS_URL, REDIS_PASSWORD_FILE, REDIS_CLUSTER, REDIS_NAMESPACE, and
warns when FAL_KEY, FAL_KEY_FILE or FAL_ACCOUNT say that it should be another account's.
Exit code: 0, 1 when the ledger cannot be read, 2 when the arguments are wrong.`,
  unknown: `Usage: falgate unknown [--jsonl]

Shows the generations of which nobody knows whether they were bought, the longest
unknown first, and what to do about them.
Reads the ledger of REDIS_URL, REDIS_PASSWORD_FILE, REDIS_CLUSTER, REDIS_NAMESPACE, and
warns when FAL_KEY, FAL_KEY_FILE or FAL_ACCOUNT say that it should be another account's.
Exit code: 0 also when there are some, 1 when the ledger cannot be read.`,
  settle: `Usage: falgate settle <id> --billed|--unbilled

Ends a generation whose outcome is unknown: billed, its price is spent; unbilled, it is
free again, and so are its idempotency key and its place in the cache. Possible from
10 minutes after it became unknown. Should the truth be learned later, it is booked.
Exit code: 0 when it is settled, 1 when it cannot be, 2 when the arguments are wrong.`,
  correct: `Usage: falgate correct <id> --usd <dollars>|--confirm

Says what a generation that has ended cost: the difference to what was booked becomes
a line of the journal, and nothing that is learned later changes it. --confirm says
that what was booked is right. When the model is not bought because it was billed far
above its reservation, or above it twice in a row, either opens it again. With a model
in place of the id, --confirm does that alone.
Exit code: 0 when it is done, 1 when it cannot be, 2 when the arguments are wrong.`,
  media: `Usage: falgate media ls [--json]
       falgate media gc [--dry-run] [--strays]
       falgate media rm <file|generation>

ls shows the largest of the files of results that are kept (MEDIA_DIR, MEDIA_URL): how long
the ledger has known each, and how many generations refer to it. --json writes all of them,
one object a line, in no order.

gc removes now what gateways remove by themselves: files that nothing has referred to since
the last link to them was over and MEDIA_DAYS more. It also goes through all that is stored,
and says which files the ledger knows nothing of, as after a restored backup of it, and
which are not there that a generation refers to. --strays removes the former, if they are
older than a day; references are counted again before. Never do that where another ledger
keeps files in the same place. --dry-run says what would be removed, and removes nothing.

rm takes a file out, or those of a generation: it is removed at once, its links lead nowhere
(404), and the same bytes are not kept again. Other generations with that very file lose it,
too. fal's own address of it goes on as long as fal has it.

Gateways may run meanwhile. Uses the ledger of REDIS_URL, or of DATA_DIR, beside its
gateway or without one, and the settings MEDIA_… of the gateway.
Exit code: 0 when it is done, 1 when it cannot be or something could not be removed, 2 when
the arguments are wrong.`,
  export: `Usage: falgate export [--move] [FILE]

Writes the whole ledger to FILE, or to standard output: generations with prompts and
results, names, money and its journal, tokens. Keep it as secret as the ledger; the file
is readable for its owner only. One that is there already is not written over.
Without --move it is a backup, and gateways may run meanwhile. That of a DATA_DIR is the
ledger at one moment; of Redis each entry is as it was when its turn came, and the money
that of one moment.
With --move all gateways have to be stopped. Before anything is written the ledger is
marked as left, so no gateway buys with it from then on, of an older version neither.
When the command is broken off, run it again, or see falgate ledger --help.
Uses the ledger of REDIS_URL, or of DATA_DIR, which a backup only reads. The user of a
Redis needs PEXPIRETIME, SCAN and XLEN beside what a gateway's does.
Exit code: 0 when the file is whole, 1 when it is not, 2 when the arguments are wrong.`,
  import: `Usage: falgate import [--backup] FILE

Puts the ledger that falgate export wrote into an empty REDIS_NAMESPACE of REDIS_URL, or
into an empty DATA_DIR. FILE is looked through first; one that is not whole is refused.
There is no ledger until the last step; an import that was broken off is run again.
Times are told by the new clock: what had an hour left when it was exported has an hour
left. What was being sent to fal becomes unknown, what is there is followed.
A file of an export without --move is taken with --backup only: what was bought since it
was written is not known here, and may be bought again. The other ledger must never be
used beside it.
Exit code: 0 when the ledger is there, 1 when it is not, 2 when the arguments are wrong.`,
  webhooks: `Usage: falgate webhooks [--stuck] [--tenant <id>] [--json]
       falgate webhooks send <generation>

Shows the webhooks that were not told yet, those first that are due for longest, and then
those that were given up; at most 1000. --stuck shows only those that were tried in vain.
Of an address only the host is shown. --json writes one object: webhooks, each with id,
generation, tenant, host, form, state (waiting, due, sending, given-up), event,
failed_tries, last_error, asked, since and next_try, and whether there may be more.
send has all webhooks of a generation that has ended sent again by a gateway, as the same
message, whether they are due, were given up or were delivered.
Reads the ledger of REDIS_URL, REDIS_PASSWORD_FILE, REDIS_CLUSTER, REDIS_NAMESPACE, or of
DATA_DIR.
Exit code: 0 also when there are some, 1 when the ledger cannot be read or nothing can be
sent, 2 when the arguments are wrong.`,
  ledger: `Usage: falgate ledger recount [--write]
       falgate ledger mend [--write]
       falgate ledger take-back

recount counts every counter and index of the ledger again from its generations, and
holds what was spent against the journal. Each difference is a line. Without --write
nothing is changed; with it everything is mended but what was spent, which only fal's bill tells.
Gateways may run meanwhile, all of this version: the count is done in short pieces, and
they keep up what was counted so far. One count at a time.
Uses the ledger of REDIS_URL, REDIS_PASSWORD_FILE, REDIS_CLUSTER, REDIS_NAMESPACE, or of
DATA_DIR, beside its gateway or without one. The user of a Redis needs GET, HSTRLEN, SCAN and ZSCAN beside what a gateway's does.

mend is for a ledger in DATA_DIR whose start names a damaged place of its journal. It
shows which part of which file has to be cut off, and what can be read of that: how many
generations, lines of the journal and dollars. Without --write nothing is changed; with it
that is cut off, and each file as it was stays beside it, named ….damaged. No gateway may
run on the folder meanwhile. A last write that was cut off needs no mending.

take-back lets gateways use a ledger again that falgate export --move has marked as moved.
Only do that when its file was imported nowhere: otherwise the same pictures could be
bought in both.

Exit code: 0 when nothing differs or is damaged (any more), 1 when something does.`,
  model: `Usage: falgate model add <endpoint id> [--from <file or URL>] [price] [--replace]
                         [--cache-version <n>]
       falgate model price <endpoint id> <price>
       falgate model list
       falgate model show <endpoint id>
       falgate model diff [<endpoint id> [--from <file or URL>]]
       falgate model remove <endpoint id>

A model is a file below MODELS_DIR. A running gateway takes it within five seconds.

add     fetches the document that fal publishes for the endpoint, shows what it says
        and writes the file. --from takes the document from elsewhere. --replace
        takes it again, and keeps price and cache version. --cache-version is raised
        when a field means something else than before: nothing stored is found then.
price   says what a call costs, for a model that has a file.
list    shows all models. show shows one as add does.
diff    compares files with what fal publishes now.
remove  removes the file, and tells whether TENANTS_FILE or DEFAULT_MODEL still name the
        model. Generations under way are followed to their end.

Price, one of:
  --usd <n> --per <unit>  the price of one call, image, megapixel, second or
                          "1000 characters"; with --max-usd <n> any other unit
  --max-usd <n>           what a call costs at most, when its price cannot be counted
  --price <json>          a price rule (docs/models.md)
  --free                  a call costs nothing; also beside a price of 0
  --accept-price          the price that fal names is right
Without one, add asks fal's API for its price when FAL_KEY or FAL_KEY_FILE is set. That
is a proposal and no upper bound: nobody can buy the model until a price is said.

Exit code: 0 when it is done; 1 when it cannot be, or when diff finds differences; 2
when the arguments are wrong.`
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
  -h, --help     show this, or with a command that command's help; "falgate help
                 [command]" does, too
  -V, --version  show the version

Environment:
${environment.join('\n')}`
}

/** Documentation marks words as code; a terminal does not. */
function plain (meaning: string): string {
  return meaning.replaceAll('`', '')
}
