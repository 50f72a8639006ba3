/** Entry of every command: typed words in, exit code out. */
import { setFlagsFromString } from 'node:v8'
import type { Command } from 'commander'
import { runCommand, type CommandContext } from './exit.js'
import { kebabCase } from './options.js'

/**
 * Keeps V8's nursery at its first megabyte. It would grow to 48, of which a process of the size that we promise has nothing: what a plan makes
 * stays, and tiles lie in the memory of the kernels. Measured (docs/performance.md): 13 MB less at the peak, in the same time.
 */
setFlagsFromString('--semi-space-growth-factor=1')

/**
 * Lets Node 20 wait longer before it optimizes functions: a run of two seconds spent a tenth of its processor time on that, for functions that were nearly
 * done. Later versions compile in more stages, and do not know the flag. Measured (docs/performance.md): 4 % less time for 1 B parameters, 10 % less for
 * planning a small model, the same for large vocabularies.
 */
if (process.versions.v8.startsWith('11.')) setFlagsFromString('--interrupt-budget=500000')

/**
 * @param build  makes the command
 * @param args   without node and script
 */
export function main(build: (context: CommandContext) => Command, args: readonly string[]): Promise<number> {
  const flags = { json: args.includes('--json'), debug: args.includes('--debug') }
  return runCommand(async (context) => void (await build(context).parseAsync(kebabCase(args), { from: 'user' })), flags)
}
