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
 * @param build  makes the command
 * @param args   without node and script
 */
export function main(build: (context: CommandContext) => Command, args: readonly string[]): Promise<number> {
  const flags = { json: args.includes('--json'), debug: args.includes('--debug') }
  return runCommand(async (context) => void (await build(context).parseAsync(kebabCase(args), { from: 'user' })), flags)
}
